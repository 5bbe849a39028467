"""Raking: the row weights closest to uniform that reach requested rates of labels or classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats
from equipoise._core.checks import require_shape, to_array, to_fraction
from equipoise._core.words import one_of, say
from equipoise.artifacts.labels import Labels
from equipoise.errors import DataError, UsageError
from equipoise.sampling._limits import Limit, within_limits
from equipoise.sampling._presence import presence_classes
from equipoise.sampling._tilt import group_labelsets
from equipoise.sampling.effect import weighted_rates
from equipoise.sampling.weights import to_labels

Target = Literal["sqrt", "equal"]
TARGETS: tuple[Target, ...] = ("sqrt", "equal")
_REACHED = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Raking:
    """Weights that reach rates, how far they came and what they cost.

    Args:
        weights: (N,) float64, mean 1.
        multipliers: lambda, (L,); 0 for labels left free.
        target: The rates asked for, (L,); NaN for labels left free.
        rates_before: Natural rates among known rows.
        rates: Rates under the weights.
        largest_miss: Largest distance of a rate from its target.
        ess_share: Effective sample size over N.
        max_weight: Weight of the most-drawn row; an average row has 1.
        ridge: Pull towards uniform weights that a limit asked for; 0 without.
        limit: The limit that stopped the way to the target, or None.
        converged: Whether the solver ended at its optimum.
        feasible: Whether weights were found that reach the target, whatever their price.
        names: One name per label.
    """

    weights: Floats = field(repr=False)
    multipliers: Floats
    target: Floats
    rates_before: Floats
    rates: Floats
    largest_miss: float
    ess_share: float
    max_weight: float
    ridge: float
    limit: Limit | None
    converged: bool
    feasible: bool
    names: tuple[str, ...] = field(repr=False)

    @property
    def reached(self) -> bool:
        """Whether every rate is as asked for."""
        return self.largest_miss <= _REACHED

    @property
    def message(self) -> str:
        """How far the weights came, and at what price."""
        price = (
            f"Price: an effective sample of {_percent(self.ess_share)} of the rows; "
            f"the most-drawn row weighs {self.max_weight:.3g}."
        )
        if self.reached:
            return f"All requested rates are reached. {price}"
        gap = np.nan_to_num(np.abs(np.nan_to_num(self.rates) - self.target), nan=-1.0)
        worst = int(np.argmax(gap))
        came = (
            f"Largest miss: '{self.names[worst]}' at {self.rates[worst]:.3g} "
            f"where {self.target[worst]:.3g} was asked for."
        )
        why = "No weights were found that reach the requested rates."
        if self.feasible:
            why = f"The requested rates can be reached, but not within `{self.limit}`."
        return f"{why} {came} {price}"

    def to_dict(self) -> dict[str, Any]:
        """Return all but the weights, ready for JSON."""
        vectors = ("multipliers", "target", "rates_before", "rates")
        body: dict[str, Any] = {
            name: [None if np.isnan(v) else float(v) for v in getattr(self, name)]
            for name in vectors
        }
        for name in ("largest_miss", "ess_share", "max_weight", "ridge", "limit"):
            body[name] = getattr(self, name)
        for name in ("converged", "feasible", "reached", "message"):
            body[name] = getattr(self, name)
        return {"names": list(self.names), **body}

    def __str__(self) -> str:
        return self.message


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def target_rates(labels: Labels | ArrayLike, target: Target) -> Floats:
    r"""Return the rates that the words "sqrt" and "equal" stand for.

    .. math:: t_l = \sqrt{\pi_l \pi_{\max}}, \qquad t_l = \pi_{\max}

    Args:
        labels: `Labels`, or class indices (N,), or multi-hot (N, L) with -1 unknown.
        target: "sqrt" or "equal". Classes: proportional to the root, or 1 / C; one label alone is
            two classes.

    Returns:
        (L,) float64; NaN for labels that are always or never present, absent classes included.

    Example:
        >>> target_rates([[1, 1], [0, 1], [0, 1], [0, 0]], "sqrt").round(3).tolist()
        [0.433, 0.75]
    """
    power = 0.5 if one_of("target", target, TARGETS) == "sqrt" else 0.0
    given = to_labels(labels)
    classes = presence_classes(given)
    if classes is not None and classes.num_classes == 2:
        return target_rates(classes, target)[1:]
    usable = (given.counts > 0) & (given.counts < given.known)
    rates = np.full(given.num_classes, np.nan)
    if usable.any():
        share = given.prevalence[usable]
        rates[usable] = share.max() * (share / share.max()) ** power
        if given.kind == "multiclass":
            rates[usable] /= rates[usable].sum()
    return rates


def rake(
    labels: Labels | ArrayLike,
    target: ArrayLike | Target,
    *,
    min_ess: float | None = 0.1,
    max_weight: float | None = None,
) -> Raking:
    r"""Weigh rows so that labels come at given rates, as close to uniform as can be.

    Use to over- or undersample when a row has several labels: no other rule reaches a target.
    Prefer thresholds tuned on validation data when only the operating point is wrong.

    .. math::
        \min_w \mathrm{KL}(w \,\|\, 1) \text{ with } E_w[y_l] = t_l
        \quad\Rightarrow\quad w_i \propto \exp(\textstyle\sum_l \lambda_l (y_{il} - t_l))

    Args:
        labels: `Labels`, or class indices (N,), or multi-hot (N, L) with -1 unknown. A rate is
            among known rows; an unknown entry adds 0 to the exponent.
        target: (L,) rates in (0, 1), NaN leaves a label free; or a word, see
            :func:`target_rates`. All classes together sum to 1.
        min_ess: Least effective sample size as a share of rows, in (0, 1); None sets no limit.
        max_weight: Largest weight of a row, above 1 (an average row has 1); None sets no limit.

    Returns:
        A :class:`Raking`. Where a limit would be broken or no weights reach the target, weights
        are pulled towards uniform (a ridge on lambda, by label in units of t (1 - t)) as little
        as the limit asks. Print it: it says how far it came.

    Raises:
        ShapeError: ``target`` is not (L,).
        DataError: rates outside (0, 1), or rates of all classes that do not sum to 1.
        UsageError: ``min_ess`` or ``max_weight`` out of range.

    Note:
        Draw with :class:`equipoise.sampling.WeightedSampler`, and undo the shift of the
        probabilities with :func:`equipoise.sampling.sampler_correction` (approximate for labels).

    Example:
        >>> found = rake([[1, 1], [1, 0], [0, 1], [0, 1], [0, 0]], [0.5, 0.5])
        >>> found.weights.round(3).tolist()
        [1.036, 1.464, 0.732, 0.732, 1.036]
        >>> print(found)
        All requested rates are reached. Price: an effective sample of 93 % of the rows; the most-drawn row weighs 1.46.

    References:
        Deming and Stephan, On a least squares adjustment of a sampled frequency table, Annals of
        Mathematical Statistics 11, 1940; Csiszar, I-divergence geometry, 1975.
    """  # noqa: E501
    given = to_labels(labels)
    wanted = _read_target(given, target)
    least = None if min_ess is None else to_fraction("min_ess", min_ess)
    if max_weight is not None and not max_weight > 1.0:
        raise UsageError(say("max_weight", "be above 1, the weight of an average row", max_weight))
    usable = (given.counts > 0) & (given.counts < given.known)
    kept = np.flatnonzero(~np.isnan(wanted) & usable)
    sets = group_labelsets(given, kept)
    guess = _first_guess(given, wanted, kept)
    outcome = within_limits(sets, wanted[kept], guess, least, max_weight)
    multipliers = np.zeros(given.num_classes)
    multipliers[kept] = outcome.tilt.multipliers
    weights = (outcome.tilt.share * len(given) / sets.counts)[sets.of_row]
    rates = weighted_rates(given, weights)
    # No weights change the rate of a label that never or always occurs.
    lost = bool((~np.isnan(wanted) & ~usable).any())
    return Raking(
        weights=weights,
        multipliers=multipliers,
        target=wanted,
        rates_before=given.prevalence,
        rates=rates,
        largest_miss=_largest_miss(rates, wanted),
        ess_share=float(weights.sum() ** 2 / (weights**2).sum() / len(given)),
        max_weight=float(weights.max()),
        ridge=outcome.ridge,
        limit=outcome.limit,
        converged=outcome.tilt.converged,
        feasible=outcome.feasible and not lost,
        names=given.names,
    )


def _read_target(labels: Labels, target: ArrayLike | Target) -> Floats:
    if isinstance(target, str):
        return target_rates(labels, one_of("target", target, TARGETS))
    wanted = np.asarray(to_array("target", target, ndim=1), dtype=np.float64)
    require_shape("target", wanted, (labels.num_classes,), "Give one rate per label; NaN is free.")
    fixed = wanted[~np.isnan(wanted)]
    if not ((fixed > 0) & (fixed < 1)).all():
        got = f"{fixed.min():g} to {fixed.max():g}"
        raise DataError(say("target", "hold rates in (0, 1), or NaN", got))
    if labels.kind == "multiclass":
        free = bool((np.isnan(wanted) & (labels.counts > 0)).any())
        total = float(fixed.sum())
        if total >= 1.0 if free else abs(total - 1.0) > 1e-6:
            expected = "sum to less than 1, with classes left free" if free else "sum to 1"
            raise DataError(say("target", expected, f"{total:g}", "A row has one class."))
    return wanted


def _first_guess(labels: Labels, wanted: Floats, kept: NDArray[np.int64]) -> Floats:
    """Return lambda as it is for independent labels, and exactly for classes."""
    share, goal = labels.prevalence[kept], wanted[kept]
    if labels.kind == "multilabel":
        return np.asarray(np.log(goal / (1 - goal)) - np.log(share / (1 - share)))
    rest = float(labels.prevalence.sum() - share.sum())
    base = (1.0 - goal.sum()) / rest if rest > 1e-12 else 1.0
    return np.asarray(np.log(goal / share) - np.log(max(base, 1e-300)))


def _largest_miss(rates: Floats, wanted: Floats) -> float:
    gap = np.abs(np.nan_to_num(rates) - wanted)
    return float(np.nanmax(gap)) if np.isfinite(gap).any() else 0.0
