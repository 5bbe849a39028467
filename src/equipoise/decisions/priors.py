"""Priors: what share of each class or label decisions are for, stated or found by EM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from scipy.stats import chi2, norm

from equipoise._core.arrays import Floats
from equipoise._core.checks import require_shape, to_array, to_floats, to_fraction, to_positive
from equipoise._core.logistic import log_softmax
from equipoise._core.messages import hint, one_of, say
from equipoise.artifacts import Correction, DecisionRule, Scores
from equipoise.artifacts.labels import KINDS, Kind
from equipoise.decisions.calibration import LABEL_METHODS, fit_label_calibrator
from equipoise.decisions.class_calibration import CLASS_METHODS, fit_class_calibrator
from equipoise.errors import UsageError

_EACH = "Give one share per class or label."
TargetPrior = str | Sequence[float] | NDArray[np.float64]


def smoothed_prior(counts: ArrayLike, known: ArrayLike, kind: Kind) -> Floats:
    """Return shares with half a count added, so that none is 0 (or 1 for labels).

    Args:
        counts: (C,) rows of each class, or positives of each label.
        known: (C,) known rows; not used for classes.
        kind: "multiclass" or "multilabel".

    Example:
        >>> smoothed_prior([0, 9], [9, 9], "multilabel").tolist()
        [0.05, 0.95]
    """
    n, m = np.asarray(counts, dtype=np.float64), np.asarray(known, dtype=np.float64)
    if kind == "multiclass":
        return np.asarray((n + 0.5) / (n.sum() + 0.5 * n.size))
    return np.asarray((n + 0.5) / (m + 1.0))


def to_target_prior(target: TargetPrior, validation: Floats, kind: Kind) -> Floats:
    """Return the declared prior as an array, (C,) float64.

    Args:
        target: "validation", "uniform" (1 / C each; 0.5 for labels) or one share per class or
            label in (0, 1); shares of classes sum to 1.
        validation: (C,) the prior of the validation rows.
        kind: "multiclass" or "multilabel".

    Raises:
        UsageError: another word, shares outside (0, 1), or shares that do not sum to 1.
        ShapeError: not one share per class or label.

    Example:
        >>> to_target_prior("uniform", np.array([0.9, 0.1]), "multiclass").tolist()
        [0.5, 0.5]
    """
    if isinstance(target, str):
        if target == "validation":
            return validation
        if target == "uniform":
            share = 1 / validation.size if kind == "multiclass" else 0.5
            return np.full(validation.size, share)
        expected = "be 'validation', 'uniform' or a list of shares"
        raise UsageError(say("target_prior", expected, repr(target), _EACH))
    prior = to_floats("target_prior", to_array("target_prior", target, ndim=1))
    require_shape("target_prior", prior, validation.shape, _EACH)
    if not ((prior > 0) & (prior < 1)).all():
        do = "A class that never occurs is left out of the model instead."
        raise UsageError(say("target_prior", "hold shares in (0, 1)", prior.tolist(), do))
    if kind == "multiclass" and abs(prior.sum() - 1) > 1e-6:
        do = "Divide the shares by their sum."
        raise UsageError(say("target_prior", "sum to 1", float(prior.sum()), do))
    return prior


def shift_prior(source: Floats, target: Floats, kind: Kind) -> Floats:
    """Return what to add to log-odds (labels) or log-posteriors (classes) to change the prior.

    Exact where only the shares change and not how each class looks (label shift).

    Args:
        source: (C,) shares in (0, 1) that the probabilities refer to.
        target: (C,) shares that they shall refer to.
        kind: "multiclass" or "multilabel".

    Example:
        >>> shift_prior(np.array([0.5]), np.array([0.1]), "multilabel").round(3).tolist()
        [-2.197]

    References:
        Saerens, Latinne and Decaestecker (Neural Computation 2002), eq. 2.4.
    """
    if kind == "multiclass":
        return np.asarray(np.log(target) - np.log(source))
    return np.asarray((np.log(target) - np.log(source)) - (np.log1p(-target) - np.log1p(-source)))


ASSUMPTION = "only the shares changed, not what a class or label looks like (label shift)"
ROUNDS, TOLERANCE, STRENGTH = 5000, 1e-9, 10.0


@dataclass(frozen=True, slots=True, eq=False)
class PriorEstimate:
    """The shares of unlabelled rows, with what they rest on.

    Args:
        prior: (C,) estimated share of each class or label.
        low: (C,) lower end of the interval, for calibrated probabilities.
        high: (C,) upper end.
        source_prior: (C,) the shares that the probabilities refer to.
        p_value: Likelihood ratio test of no change: (L,) for labels, (1,) for classes.
        n: Rows.
        assumption: What must hold for all of this.
    """

    prior: Floats
    low: Floats
    high: Floats
    source_prior: Floats
    p_value: Floats
    n: int
    assumption: str = ASSUMPTION


def estimate_prior(
    scores: Scores | ArrayLike,
    source_prior: ArrayLike,
    *,
    kind: Kind | None = None,
    rule: DecisionRule | None = None,
    strength: float = STRENGTH,
    confidence_level: float = 0.95,
) -> PriorEstimate:
    """Estimate the shares of unlabelled rows by EM, one label at a time or over all classes.

    Use when the deployment shares are unknown. The probabilities must be calibrated, so give the
    rule that calibrates them; and it holds under label shift alone, which no data here can prove.

    Args:
        scores: Scores, or an (N, C) array of probabilities with its ``kind``.
        source_prior: (C,) shares in (0, 1) that the probabilities refer to: of the validation
            rows, or the target prior of ``rule``.
        kind: Of an array: "multiclass" or "multilabel".
        rule: Calibrates ``scores``; without one the formula is trusted.
        strength: Rows that the prior on the shares, centred at ``source_prior``, is worth: Beta
            for labels, Dirichlet for classes. 0 gives the maximum of the likelihood.
        confidence_level: Coverage of the interval.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y = rng.random(4000) < 0.3
        >>> z = 3 * rng.normal(size=4000) + 9 * y - 4.5 + np.log(0.1 / 0.9)
        >>> found = estimate_prior(1 / (1 + np.exp(-z[:, None])), [0.1], kind="multilabel")
        >>> found.prior.round(2).tolist(), bool(found.p_value[0] < 0.001)
        ([0.3], True)

    References:
        Saerens, Latinne and Decaestecker (Neural Computation 2002), eq. 2.9 and section 3;
        Alexandari et al. (ICML 2020) on calibrating first.
    """
    kind, p = _probabilities(scores, kind, rule)
    source = to_floats("source_prior", to_array("source_prior", source_prior, ndim=1))
    source = to_target_prior(source, np.full(p.shape[1], 0.5), kind)
    level = to_fraction("confidence_level", confidence_level)
    worth = to_positive("strength", strength, zero=True)
    if kind == "multiclass":
        prior, variance, gain = _classes(p / source, source, worth)
    else:
        prior, variance, gain = _labels(p / source, (1 - p) / (1 - source), source, worth)
    p_value = chi2.sf(gain, source.size - 1 if kind == "multiclass" else 1)
    half = norm.isf((1 - level) / 2) * np.sqrt(variance) / (prior * (1 - prior))
    odds = np.log(prior) - np.log1p(-prior)
    return PriorEstimate(
        prior, expit(odds - half), expit(odds + half), source, np.asarray(p_value), len(p)
    )


def _probabilities(
    scores: Scores | ArrayLike, kind: Kind | None, rule: DecisionRule | None
) -> tuple[Kind, Floats]:
    if isinstance(scores, Scores):
        if rule is not None:
            return scores.kind, rule.apply(scores).probabilities
        log_odds = scores.log_odds()
        return scores.kind, expit(log_odds) if scores.kind == "multilabel" else np.exp(log_odds)
    if kind is None or rule is not None:
        do = "Wrap the array in Scores to apply a rule to it."
        raise UsageError(say("scores", hint("be Scores, or an array with {kind=}"), "an array", do))
    p = to_floats("scores", to_array("scores", scores, ndim=2))
    if p.shape[0] == 0 or not ((p >= 0) & (p <= 1)).all():
        raise UsageError(say("scores", "hold probabilities of at least one row", f"{p.shape}"))
    return one_of("kind", kind, KINDS), p


def _labels(
    yes: Floats, no: Floats, source: Floats, strength: float
) -> tuple[Floats, Floats, Floats]:
    """Return share, variance and twice the gain in log-likelihood, (L,) each."""
    prior, n, part = source.copy(), yes.shape[0], np.arange(source.size)
    ratio_yes, ratio_no = yes, no
    for _ in range(ROUNDS):
        pi = prior[part]
        above = pi * ratio_yes
        mean = (above / np.maximum(above + (1 - pi) * ratio_no, 1e-300)).sum(axis=0)
        new = (mean + strength * source[part]) / (n + strength)
        new = np.clip(new, 1e-12, 1 - 1e-12)
        prior[part] = new
        open_ = np.abs(new - pi) > TOLERANCE * np.minimum(new, 1 - new)
        if not open_.any():
            break
        if open_.sum() < 0.75 * part.size:
            part, ratio_yes, ratio_no = part[open_], ratio_yes[:, open_], ratio_no[:, open_]
    mixed = np.maximum(prior * yes + (1 - prior) * no, 1e-300)
    information = (((yes - no) / mixed) ** 2).sum(axis=0)
    information += strength * (source / prior**2 + (1 - source) / (1 - prior) ** 2)
    before = np.maximum(source * yes + (1 - source) * no, 1e-300)
    gain = 2 * (np.log(mixed) - np.log(before)).sum(axis=0)
    return prior, 1 / np.maximum(information, 1e-300), np.maximum(gain, 0.0)


def _classes(ratio: Floats, source: Floats, strength: float) -> tuple[Floats, Floats, Floats]:
    """Return shares and variances, (C,), and twice the gain in log-likelihood, (1,)."""
    prior, n = source.copy(), ratio.shape[0]
    for _ in range(ROUNDS):
        joint = prior * ratio
        mean = (joint / joint.sum(axis=1, keepdims=True)).sum(axis=0)
        new = np.clip((mean + strength * source) / (n + strength), 1e-12, 1 - 1e-12)
        done = bool((np.abs(new - prior) <= TOLERANCE * np.minimum(new, 1 - new)).all())
        prior = new / new.sum()
        if done:
            break
    mixed = ratio @ prior
    slope = (ratio[:, :-1] - ratio[:, -1:]) / mixed[:, None]
    information = slope.T @ slope + strength * (
        np.diag(source[:-1] / prior[:-1] ** 2) + source[-1] / prior[-1] ** 2
    )
    covariance = np.linalg.pinv(information)
    variance = np.append(np.diag(covariance), covariance.sum())
    gain = 2 * (np.log(mixed) - np.log(ratio @ source)).sum()
    return prior, np.maximum(variance, 0.0), np.array([max(float(gain), 0.0)])


def deployment_prior(
    scores: Scores,
    correction: Correction | None,
    natural: Floats,
    target_prior: TargetPrior,
    calibration: str,
    deployment: Scores | None,
) -> tuple[TargetPrior, Sequence[str]]:
    """Return the target prior, found by EM where it says "em", and a remark per label."""
    silent = ("",) * len(scores.names)
    estimated = isinstance(target_prior, str) and target_prior == "em"
    if not estimated:
        if deployment is not None:
            do: str = hint("Pass {target_prior=em} to estimate the prior from them.")
            expected: str = hint("come with {target_prior=em}")
            raise UsageError(say("deployment", expected, target_prior, do))
        return target_prior, silent
    if deployment is None or deployment.split != "new":
        got = None if deployment is None else f"scores of split '{deployment.split}'"
        do = "Pass unlabelled scores of the rows that the rule will decide on."
        expected = hint("be scores of split 'new' for {target_prior=em}")
        raise UsageError(say("deployment", expected, got, do))
    if deployment.kind == scores.kind and set(deployment.names) == set(scores.names):
        deployment = deployment.in_order(scores.names)
    else:
        expected = f"be {scores.kind} with columns {list(scores.names)}"
        got = f"{deployment.kind} with {list(deployment.names)}"
        raise UsageError(say("deployment", expected, got))
    away = deployment.logits()
    outside = away if correction is None else correction.apply(away)
    p, source = _calibrated(scores, correction, natural, outside, calibration)
    found = estimate_prior(p, source, kind=scores.kind)
    p_values = np.broadcast_to(found.p_value, found.prior.shape)
    remarks = [
        f"prior {new:.3g} [{low:.3g}, {high:.3g}] by EM, assuming label shift; "
        f"p {p_value:.2g} for no change"
        for new, low, high, p_value in zip(
            found.prior, found.low, found.high, p_values, strict=True
        )
    ]
    return found.prior, remarks


def _calibrated(
    scores: Scores, correction: Correction | None, natural: Floats, outside: Any, calibration: str
) -> tuple[Floats, Floats]:
    """Return calibrated probabilities of the new rows and the validation prior they refer to."""
    labels = scores.require_labels()
    source = smoothed_prior(*labels.weighed, scores.kind)
    verified = correction is not None
    if scores.kind == "multilabel":
        rung = one_of("calibration", calibration, LABEL_METHODS)
        fitted = fit_label_calibrator(
            natural, labels.values, verified=verified, highest=rung, weight=labels.weights
        )
        return expit(fitted.apply(outside)), source
    method = one_of("calibration", calibration, CLASS_METHODS)
    shift = np.zeros(source.size)
    if correction is not None and correction.prior is not None:
        known = np.maximum(np.asarray(correction.prior), 1e-12)
        shift = shift_prior(known, source, "multiclass")
    fitted = fit_class_calibrator(
        natural,
        labels.values,
        shift=shift,
        verified=verified,
        highest=method,
        weight=labels.weights,
    )
    return np.exp(log_softmax(fitted.apply(outside))), source
