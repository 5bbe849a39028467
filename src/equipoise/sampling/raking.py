"""Raking: the row weights closest to uniform that reach requested rates of labels or classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from equipoise._core.arrays import Floats
from equipoise._core.checks import require_shape, to_array, to_fraction
from equipoise._core.messages import one_of, say
from equipoise.artifacts.labels import UNKNOWN, Labels
from equipoise.errors import DataError, UsageError
from equipoise.labels.pairs import pack_rows
from equipoise.sampling.effect import weighted_rates
from equipoise.sampling.weights import presence_classes, to_labels

_CELLS = 2**22  # few large products: many small ones wait for threads on a busy machine
_SPARSE = 0.2
_LONGEST_STEP = 10.0
_STEPS = 40


class Labelsets:
    """The distinct labelsets, their counts, and which one each row has.

    Unknown entries take the target of their label: then they pull neither way, and the mean of a
    column equals its target exactly where the rate among known rows does.
    """

    def __init__(self, values: NDArray[np.int8], counts: NDArray[np.int64], of_row: NDArray[Any]):
        self.values, self.counts, self.of_row = values, counts, of_row
        self.log_share = np.log(counts / counts.sum())
        self.fill = np.zeros(values.shape[1])
        self._sparse: Any = None

    def fill_unknown(self, target: Floats) -> None:
        """Set what unknown entries count as, and choose how rows are held."""
        self.fill = target
        if np.count_nonzero(self.values) <= _SPARSE * self.values.size:
            rows, columns = np.nonzero(self.values)
            entries = self._floats(self.values[rows, columns], target[columns])
            self._sparse = sparse.csr_array((entries, (rows, columns)), shape=self.values.shape)

    @staticmethod
    def _floats(values: NDArray[np.int8], fill: Floats) -> Floats:
        floats = values.astype(np.float64)
        unknown = values == UNKNOWN
        if unknown.any():
            np.copyto(floats, fill, where=unknown)
        return floats

    def _blocks(self) -> Iterator[tuple[slice, Floats]]:
        length = max(1, _CELLS // max(self.values.shape[1], 1))
        for start in range(0, self.values.shape[0], length):
            rows = slice(start, start + length)
            yield rows, self._floats(self.values[rows], self.fill)

    def dot(self, multipliers: Floats) -> Floats:
        """Return lambda . y of each labelset."""
        if self._sparse is not None:
            return np.asarray(self._sparse @ multipliers)
        return np.concatenate([block @ multipliers for _, block in self._blocks()])

    def moments(self, share: Floats) -> tuple[Floats, Floats]:
        """Return mean and covariance of the columns under ``share``."""
        if self._sparse is not None:
            mean = np.asarray(self._sparse.T @ share)
            second = (self._sparse.T @ (sparse.diags_array(share) @ self._sparse)).toarray()
            return mean, np.asarray(second - np.outer(mean, mean))
        mean, second = np.zeros(self.fill.size), np.zeros((self.fill.size, self.fill.size))
        for rows, block in self._blocks():
            mean += share[rows] @ block
            root = block * np.sqrt(share[rows, None])
            second += root.T @ root
        return mean, second - np.outer(mean, mean)


def group_labelsets(labels: Labels, kept: NDArray[np.int64]) -> Labelsets:
    """Find the distinct rows of the columns ``kept``."""
    if kept.size == 0:
        nothing, rows = np.zeros((1, 0), dtype=np.int8), np.array([len(labels)])
        return Labelsets(nothing, rows, np.zeros(len(labels), dtype=np.int64))
    if labels.kind == "multiclass":
        present, place, counts = np.unique(labels.values, return_inverse=True, return_counts=True)
        values = (present[:, None] == kept[None, :]).astype(np.int8)
        return Labelsets(values, counts, place)
    hot = labels.values[:, kept]
    masks = [hot == 1]
    if (hot == UNKNOWN).any():
        masks.append(hot == UNKNOWN)
    keys = pack_rows(np.concatenate(masks, axis=1))
    _, first, place, counts = np.unique(
        keys, return_index=True, return_inverse=True, return_counts=True
    )
    return Labelsets(hot[first], counts, place.reshape(-1))


@dataclass(frozen=True, slots=True)
class Tilt:
    """Multipliers, the share of each labelset under them, and whether they are the optimum."""

    multipliers: Floats
    share: Floats
    converged: bool


class _Dual:
    """log sum_i c_i exp(lambda . y_i) - lambda . t + ridge / 2 |lambda|^2, convex in lambda."""

    def __init__(self, sets: Labelsets, target: Floats, ridge: Floats) -> None:
        self.sets, self.target, self.ridge = sets, target, ridge

    def at(self, lam: Floats) -> _Point:
        reach = self.sets.dot(lam) - lam @ self.target
        # The largest term taken out, so that no exponential overflows far from the optimum.
        score = reach + self.sets.log_share
        top = float(score.max())
        mass = np.exp(score - top)
        total = float(mass.sum())
        value = top + np.log(total) + 0.5 * (self.ridge * lam) @ lam
        return _Point(lam, float(value), mass / total, float(reach.max()))

    def slope(self, point: _Point) -> tuple[Floats, Floats]:
        mean, curvature = self.sets.moments(point.share)
        diagonal = np.diag_indices_from(curvature)
        curvature[diagonal] += self.ridge
        # Labels that always come together leave the matrix singular: a trace of the identity makes
        # the step along them 0 and moves no other.
        curvature[diagonal] += 1e-13 * float(curvature[diagonal].max()) + 1e-300
        return mean - self.target + self.ridge * point.lam, curvature


@dataclass(frozen=True, slots=True)
class _Point:
    """A place on the dual. With ``reach`` below 0 every labelset lies on one side of the target.

    That proves that no weights reach it: the dual falls without end along lambda.
    """

    lam: Floats
    value: float
    share: Floats
    reach: float


def solve_tilt(
    sets: Labelsets, target: Floats, ridge: Floats, start: Floats, *, accuracy: float = 1e-9
) -> Tilt:
    """Minimise the dual by Newton's method with a line search, from ``start`` or 0."""
    dual, scale = _Dual(sets, target, ridge), target * (1.0 - target)
    point, zero = dual.at(start), dual.at(np.zeros_like(start))
    # A start from another ridge may be worse than none; so may one that is not finite.
    if not point.value <= zero.value:
        point = zero
    # Only without a ridge can the dual fall without end; with one it always has a minimum.
    unbounded = bool((ridge < 1e-9 * scale).all())
    converged = False
    for _ in range(_STEPS):
        gradient, curvature = dual.slope(point)
        converged = bool((np.abs(gradient) <= accuracy * scale).all())
        if converged or (unbounded and point.reach < -1e-9):
            break
        better = _step(dual, point, gradient, curvature)
        if better is None:
            break
        point = better
    return Tilt(point.lam, point.share, converged)


def _step(dual: _Dual, point: _Point, gradient: Floats, curvature: Floats) -> _Point | None:
    """Return the next point, or None where none is better."""
    try:
        step = -np.linalg.solve(curvature, gradient)
    except np.linalg.LinAlgError:
        return None
    longest = float(np.abs(step).max())
    if not np.isfinite(longest):
        return None
    step *= min(1.0, _LONGEST_STEP / max(longest, 1e-300))
    fall = float(gradient @ step)
    # Near the optimum a step gains less than the value is rounded by, and must not be refused.
    noise = 1e-14 * (1.0 + abs(point.value))
    length = 1.0
    while length > 1e-10:
        trial = dual.at(point.lam + length * step)
        if trial.value <= point.value + 1e-4 * length * fall + noise:
            return trial
        length *= 0.5
    return None


Limit = Literal["min_ess", "max_weight"]
_LEAST_RIDGE, _LARGEST_RIDGE, _HALVINGS = 1e-8, 1e8, 7


@dataclass(frozen=True, slots=True)
class Outcome:
    """The solution, its ridge, the limit that asked for it, and whether the target is feasible."""

    tilt: Tilt
    ridge: float
    limit: Limit | None
    feasible: bool


@dataclass(frozen=True, slots=True)
class _Bounded:
    """Solutions for one target along the ridge, and the limits they are held to."""

    sets: Labelsets
    target: Floats
    least: float | None
    most: float | None

    def solve(self, ridge: float, start: Floats) -> tuple[Tilt, Limit | None]:
        scale = self.target * (1.0 - self.target)
        accuracy = 1e-9 if ridge <= _LEAST_RIDGE else 1e-5
        found = solve_tilt(self.sets, self.target, ridge * scale, start, accuracy=accuracy)
        return found, self.broken(found)

    def broken(self, tilt: Tilt) -> Limit | None:
        shares = self.sets.counts / self.sets.counts.sum()
        weights = tilt.share / shares
        if self.least is not None and self.least * float(shares @ weights**2) > 1.0:
            return "min_ess"
        top = float(weights.max())
        return "max_weight" if self.most is not None and top > self.most else None


def within_limits(
    sets: Labelsets, target: Floats, guess: Floats, least: float | None, most: float | None
) -> Outcome:
    """Solve without a ridge; where that fails or costs too much, with the least one that holds."""
    if target.size == 0:
        return Outcome(Tilt(guess, np.exp(sets.log_share), converged=True), 0.0, None, True)
    sets.fill_unknown(target)
    way = _Bounded(sets, target, least, most)
    exact, broken = way.solve(1e-12, guess)
    if exact.converged and broken is None:
        return Outcome(exact, 0.0, None, feasible=True)
    # From a strong pull to weaker ones: each solution is near the next, and starts it.
    ridge = 10.0
    held, over = way.solve(ridge, np.zeros_like(guess))
    while over is not None and ridge < _LARGEST_RIDGE:
        ridge, broken = 10.0 * ridge, over
        held, over = way.solve(ridge, np.zeros_like(guess))
    while ridge > _LEAST_RIDGE:
        found, over = way.solve(ridge / 10.0, held.multipliers)
        if over is not None:
            held, ridge = _narrow(way, held, ridge)
            return Outcome(held, ridge, over, exact.converged)
        if not found.converged:
            break  # the target lies outside of all labelsets: multipliers grow without end
        held, ridge = found, ridge / 10.0
    return Outcome(held, ridge, broken, exact.converged)


def _narrow(way: _Bounded, held: Tilt, high: float) -> tuple[Tilt, float]:
    """Halve (in logarithms) between a ridge within the limits and a tenth of it, which is not."""
    low = high / 10.0
    for _ in range(_HALVINGS):
        middle = float(np.sqrt(high * low))
        found, over = way.solve(middle, held.multipliers)
        if over is None:
            held, high = found, middle
        else:
            low = middle
    return held, high


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
