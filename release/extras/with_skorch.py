"""Extra skorch: a net with a remedy's loss as criterion and its way back as nonlinearity."""

import numpy as np
from skorch import NeuralNetClassifier

import equipoise as eq
from equipoise.models import MLP

rng = np.random.default_rng(0)
y = rng.choice(3, 600, p=[0.8, 0.15, 0.05])
x = (rng.normal(size=(600, 6)) + 2 * np.eye(3, 6)[y]).astype(np.float32)
remedy = eq.remedy("weighted_ce", eq.Labels.from_array(y, kind="multiclass"))
net = NeuralNetClassifier(
    MLP(6, 3), criterion=remedy.loss, predict_nonlinearity=remedy.loss.posterior,
    max_epochs=2, train_split=None, verbose=0, iterator_train__shuffle=True,
).fit(x, y)  # fmt: skip
assert np.allclose(net.predict_proba(x).sum(1), 1, atol=1e-5)
