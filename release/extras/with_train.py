"""Extra train: a network trained with a remedy, its rule and its evaluation; augmentation."""

import numpy as np
import torch

import equipoise as eq
from equipoise.data import ArrayDataset, Augmentation
from equipoise.models import MLP

rng = np.random.default_rng(0)
x = rng.normal(size=(600, 4)).astype(np.float32)
hot = (x[:, :2] + 0.5 * rng.normal(size=(600, 2)) > [0.5, 1.5]).astype(int)
labels = eq.Labels.from_array(hot, kind="multilabel", names=["A", "B"], ids=range(600))
split = eq.stratified_split(labels, seed=0)
remedy = eq.remedy("pos_weight", labels[split.train])
options = eq.TrainingOptions(epochs=5, lr=1e-2, accelerator="cpu")
trial = eq.fit(MLP(4, 2), ArrayDataset(x, labels), split, remedy, options=options, seed=0)
rule = eq.tune(trial.scores["val"], objective="f1")
assert eq.evaluate(rule, trial.scores["test"]).overall["macro"]["auroc"].value > 0.8
changed = Augmentation.preset("randaugment").build()(torch.rand(2, 3, 32, 32), seed=0)
assert changed.shape == (2, 3, 32, 32)
