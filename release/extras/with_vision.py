"""Extra vision: a backbone and a loss of MONAI."""

import numpy as np
import torch

import equipoise as eq
from equipoise.models import make_model

network = make_model("monai:DenseNet121", 2, input_shape=(1, 64, 64), seed=0)
assert network(torch.zeros(2, 1, 64, 64)).shape == (2, 2)
labels = eq.Labels.from_array(np.eye(2, dtype=int)[[0, 1, 0, 0]], kind="multilabel")
dice = eq.remedy("dice", labels, class_dim=1)
logits = torch.zeros(2, 2, 8, 8, requires_grad=True)
dice.loss(logits, torch.ones(2, 2, 8, 8)).backward()
assert logits.grad is not None
