"""The prior of unlabelled rows: EM beside a slow loop, and how tune uses it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, softmax

from equipoise.artifacts import Correction, Labels, Scores
from equipoise.decisions import estimate_prior, tune
from equipoise.errors import EquipoiseError, ShapeError, UsageError


def rows(
    share: float, split: str, seed: int, labelled: bool = True, n: int = 6000, away: float = 0.0
) -> Scores:
    """Log-odds at a prior of 0.1 (plus what a remedy added), for rows drawn at ``share``."""
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 2)) < [share, 0.1]).astype(np.int8)
    x = rng.normal(size=y.shape) + 2.0 * y
    z = 2.0 * x - 2.0 + np.log(0.1 / 0.9) + away
    labels = Labels.from_array(y, kind="multilabel") if labelled else None
    kind: Any = None if labelled else "multilabel"
    return Scores.from_arrays(labels, logits=z, split=split, kind=kind)  # type: ignore[arg-type]


def slow_em(p: np.ndarray, source: np.ndarray, rounds: int = 4000) -> np.ndarray:
    """Saerens et al., one row and one class at a time as they wrote it."""
    prior = source.copy()
    for _ in range(rounds):
        total = np.zeros_like(prior)
        for row in p:
            joint = [prior[c] / source[c] * row[c] for c in range(prior.size)]
            total += np.array(joint) / sum(joint)
        prior = total / len(p)
    return prior


def test_em_of_classes_is_the_slow_loop() -> None:
    rng = np.random.default_rng(0)
    p = softmax(2 * rng.normal(size=(40, 3)) + [0, 0.5, 1], axis=1)
    source = np.array([0.5, 0.3, 0.2])
    found = estimate_prior(p, source, kind="multiclass", strength=0)
    np.testing.assert_allclose(found.prior, slow_em(p, source), atol=1e-6)


@pytest.mark.parametrize("strength", [0.0, 25.0])
def test_em_of_a_label_ends_at_the_best_posterior(strength: float) -> None:
    p = expit(rows(0.3, "new", 1, n=300).values)
    found = estimate_prior(p, [0.1, 0.1], kind="multilabel", strength=strength)
    for c in range(2):
        yes, no = p[:, c] / 0.1, (1 - p[:, c]) / 0.9

        def loss(pi: float, yes: np.ndarray = yes, no: np.ndarray = no) -> float:
            prior = strength * (0.1 * np.log(pi) + 0.9 * np.log(1 - pi))
            return -float(np.log(pi * yes + (1 - pi) * no).sum() + prior)

        slow = minimize_scalar(loss, bounds=(1e-6, 1 - 1e-6), options={"xatol": 1e-9}).x
        assert found.prior[c] == pytest.approx(slow, abs=1e-5)


def test_nothing_changes_where_nothing_changed() -> None:
    p = np.full((50, 2), 0.1)
    found = estimate_prior(p, [0.1, 0.1], kind="multilabel")
    assert found.prior == pytest.approx([0.1, 0.1])
    assert found.p_value == pytest.approx([1.0, 1.0])
    assert "label shift" in found.assumption


@pytest.mark.parametrize("away", [0.0, 3.0])
def test_tune_finds_the_deployment_prior_after_calibration(away: float) -> None:
    """Also where the model's outputs are shifted and no correction says so."""
    val, new = rows(0.1, "val", 2, away=away), rows(0.3, "new", 3, labelled=False, away=away)
    rule = tune(val, target_prior="em", deployment=new)
    assert isinstance(rule.target_prior, tuple)
    assert rule.target_prior[0] == pytest.approx(0.3, abs=0.025)
    assert rule.target_prior[1] == pytest.approx(0.1, abs=0.02)
    assert rule.parameters["target_prior"] == "em"
    assert "by EM, assuming label shift; p " in rule.notes[0]
    assert rule.apply(new).probabilities[:, 0].mean() == pytest.approx(0.3, abs=0.03)


def test_tune_finds_the_shares_of_classes_too() -> None:
    centres = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.5]])
    train, there = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.3, 0.5])
    made = {}
    for split, shares in (("val", train), ("new", there)):
        rng = np.random.default_rng(len(split) + int(shares[0] * 10))
        y = rng.choice(3, 4000, p=shares)
        z = (rng.normal(size=(4000, 2)) + centres[y]) @ centres.T - 0.5 * (centres**2).sum(1)
        labels = Labels.from_array(y, kind="multiclass") if split == "val" else None
        made[split] = Scores.from_arrays(
            labels,
            logits=z + np.log(train),
            split=split,  # type: ignore[arg-type]
            kind=None if labels is not None else "multiclass",
            correction=Correction.identity("multiclass", prior=train.tolist()),
        )
    rule = tune(made["val"], target_prior="em", deployment=made["new"], objective="accuracy")
    np.testing.assert_allclose(rule.target_prior, there, atol=0.03)
    by_rule = estimate_prior(made["new"], rule.target_prior, rule=rule)
    np.testing.assert_allclose(by_rule.prior, there, atol=0.03)
    assert by_rule.p_value[0] > 0.01
    assert (estimate_prior(made["new"], train).prior - there).max() < 0.03


VAL, NEW = rows(0.1, "val", 4, n=200), rows(0.1, "new", 5, labelled=False, n=200)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: tune(VAL, target_prior="em"), UsageError, "split 'new' .*got None"),
        (lambda: tune(VAL, target_prior="em", deployment=VAL), UsageError, "of split 'val'"),
        (lambda: tune(VAL, deployment=NEW), UsageError, 'come with target_prior="em"'),
        (
            lambda: tune(
                VAL,
                target_prior="em",
                deployment=Scores.from_arrays(None, logits=[[0.0]], split="new", kind="multilabel"),
            ),
            UsageError,
            r"with columns \['0', '1'\]",
        ),
        (lambda: estimate_prior(np.full((2, 2), 0.5), [0.5, 0.5]), UsageError, "kind="),
        (
            lambda: estimate_prior([[2.0]], [0.5], kind="multilabel"),
            UsageError,
            "probabilities of at least one row",
        ),
        (
            lambda: estimate_prior([[0.5]], [0.5, 0.5], kind="multilabel"),
            ShapeError,
            r"\(1\), got \(2,\)",
        ),
        (lambda: estimate_prior([[0.5]], [1.0], kind="multilabel"), UsageError, r"\(0, 1\)"),
    ],
)
def test_what_is_refused(call: Any, error: type[EquipoiseError], text: str) -> None:
    with pytest.raises(error, match=text):
        call()
