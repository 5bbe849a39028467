"""The bias of the last layer starts from the prior."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from equipoise.artifacts import Labels
from equipoise.errors import ShapeError
from equipoise.labels.loss_settings import prior_bias
from equipoise.models.head import initialise_prior_bias


def test_labels_start_from_their_smoothed_log_odds_over_known_rows() -> None:
    labels = Labels.from_array([[1, 0, -1], [0, 0, 1], [0, 0, -1]], kind="multilabel")
    assert prior_bias(labels) == pytest.approx(np.log([2 / 3, 1 / 4, 2 / 1]))


def test_classes_start_from_their_log_prior() -> None:
    labels = Labels.from_array([0, 0, 0, 1], kind="multiclass")
    found = prior_bias(labels, smoothing=1e-9)
    assert found == pytest.approx(np.log([0.75, 0.25]))


def test_the_layer_takes_the_bias_and_nothing_else() -> None:
    labels = Labels.from_array([[1, 0], [0, 0]], kind="multilabel")
    layer = nn.Linear(3, 2)
    before = layer.weight.detach().clone()
    initialise_prior_bias(layer, labels)
    assert layer.bias.detach().numpy() == pytest.approx(prior_bias(labels), rel=1e-6)
    assert torch.equal(layer.weight, before)
    assert layer.bias.requires_grad


@pytest.mark.parametrize("layer", [nn.Linear(3, 2, bias=False), nn.Linear(3, 5), nn.ReLU()])
def test_a_layer_that_does_not_fit_is_named(layer: nn.Module) -> None:
    labels = Labels.from_array([[1, 0], [0, 0]], kind="multilabel")
    with pytest.raises(ShapeError, match=r"`layer.bias` must have shape \(2,\)"):
        initialise_prior_bias(layer, labels)
