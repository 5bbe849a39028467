"""Extra torch: losses with their way back, and samplers, in a loop of one's own."""

import numpy as np
import torch
from torch.utils.data import DataLoader

import equipoise as eq
from equipoise.labels import priors
from equipoise.losses import AsymmetricLoss, LogitAdjustedLoss
from equipoise.sampling import ClassBalancedSampler

y = np.repeat([0, 1, 2], [80, 15, 5])
labels = eq.Labels.from_array(y, kind="multiclass", names=["a", "b", "c"])
logits = torch.zeros(100, 3, requires_grad=True)
loss = LogitAdjustedLoss(priors(labels.counts))
loss(logits, torch.from_numpy(y)).backward()
assert logits.grad is not None
assert logits.grad.abs().sum() > 0
posterior = loss.posterior(logits).double()
assert torch.allclose(posterior.sum(-1), torch.ones(100).double())
assert AsymmetricLoss()(torch.zeros(4, 2), torch.ones(4, 2)).isfinite()
sampler = ClassBalancedSampler(labels, num_samples=3000, seed=0)
drawn = torch.cat([rows for (rows,) in DataLoader(
    torch.utils.data.TensorDataset(torch.from_numpy(y)), batch_size=100, sampler=sampler
)])  # fmt: skip
assert (torch.bincount(drawn) / 3000 - 1 / 3).abs().max() < 0.05
