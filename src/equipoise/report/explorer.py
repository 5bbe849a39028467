"""What the page needs to move a cut by hand: the cuts of each label, and what each would flag.

Per label: a cut just below each positive, with how many negatives lie between it and the next, and
a ladder of cuts where positives are far apart. The counts of a cut are all that its numbers and
their intervals need; where rows come in groups, sums over the groups travel for a grid of cuts. For
classes the joint scores travel, since the offset of one moves the others.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from equipoise._core.arrays import Bools, Floats, Ints
from equipoise._core.checks import to_fraction
from equipoise._core.messages import say
from equipoise._core.rng import generator
from equipoise.artifacts import DecisionRule, Labels, Scores
from equipoise.artifacts._io import plain
from equipoise.artifacts.estimate import FEW
from equipoise.artifacts.rule import _SCHEMA as RULE_SCHEMA, _VERSION as RULE_VERSION
from equipoise.artifacts.scores import default_flags
from equipoise.decisions.priors import smoothed_prior
from equipoise.errors import DataError
from equipoise.metrics.sweep import Sweep

# Joint scores of classes that travel with a page: rows, and rows times classes.
MOST_ROWS, MOST_CELLS = 20_000, 200_000
# They are kept in steps of 2^-19 below the largest of the row, in three bytes.
STEP, DEEPEST = 2.0**-19, 2**24 - 1
# Cuts of the ladder, and of the grid with sums over groups, that all labels share.
_LADDER, _GRID = 40_000, 6_400
# Labels whose log-odds are made at once.
_BLOCK = 50
# Hashes of rows above which their contents stay out of the page, if ids tell the rows.
_MOST_MARKS = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """What decides, and the rows on which its cuts are looked at.

    Args:
        name: Of the method.
        rule: Tuned on the rows of ``scores``, where its cuts may be exported.
        scores: With labels.
        note: Which of several trainings it is, in words.
    """

    name: str
    rule: DecisionRule
    scores: Scores
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Cuts:
    """Cuts of one label from strict to lax; the first flags nothing, the last everything.

    Args:
        cut: (K,) rows with log-odds at or above it are flagged.
        tp: (K,) positives that it flags.
        fp: (K,) negatives that it flags.

    Example:
        >>> found = Cuts.of(np.array([2.0, 0.0, -1.0]), np.array([True, False, True]), 9, [])
        >>> found.cut.round(3).tolist(), found.tp.tolist(), found.fp.tolist()
        ([2.0, 1.0, -0.5, -1.0], [0, 1, 1, 2], [0, 0, 1, 1])
    """

    cut: Floats
    tp: Ints
    fp: Ints

    @classmethod
    def of(cls, log_odds: Floats, positive: Bools, ladder: int, also: Sequence[float]) -> Cuts:
        """Take the cut below each distinct positive, ``ladder`` by flagged rows, and some more."""
        order = np.argsort(-log_odds, kind="stable")
        points = Sweep.from_sorted(log_odds[order], positive[order])
        if not points.score.size:
            return cls(np.zeros(1), np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
        flagged = points.tp + points.fp
        rising = np.flatnonzero(np.diff(points.tp, prepend=0))
        rungs = np.searchsorted(flagged, np.geomspace(1, flagged[-1], ladder))
        given = points.score.size - np.searchsorted(points.score[::-1], np.asarray(also)) - 1
        kept = np.unique(np.concatenate([rising, rungs, given, [flagged.size - 1]]).astype(int))
        kept = kept[(kept >= 0) & (kept < flagged.size)]
        high = points.score[kept]
        low = points.score[np.minimum(kept + 1, flagged.size - 1)]
        middle = 0.5 * low + 0.5 * high
        cuts = np.where((low < middle) & (middle <= high), middle, high)
        return cls(
            np.append(points.cut_below(-1), cuts),
            np.append(0, points.tp[kept]),
            np.append(0, points.fp[kept]),
        )

    def index(self, flagged: int) -> int:
        """Return the first cut that flags so many rows."""
        return int(np.searchsorted(self.tp + self.fp, flagged))


def explorer_data(arms: Sequence[Arm], *, confidence_level: float = 0.95) -> dict[str, Any]:
    """Return what the page's explorer of these arms needs, ready for JSON.

    Args:
        arms: The one that is decided about first; the others can be laid over its curves.
        confidence_level: Of the intervals.

    Returns:
        Kind, names, rows, cuts of every arm (base64), and the first arm's rule for the export;
        ``locked`` says why nothing can be exported, "" where it can.

    Raises:
        DataError: no arm, scores without labels, or arms of other labels.
    """
    level = to_fraction("confidence_level", confidence_level)
    if not arms:
        raise DataError(say("arms", "hold at least one", "none"))
    main = arms[0]
    if any(arm.rule.names != main.rule.names for arm in arms):
        got = [list(arm.rule.names) for arm in arms]
        raise DataError(say("arms", "be of the same labels", got))
    scores = main.rule.align(main.scores)
    labels, rule = scores.require_labels(), main.rule
    prior = rule.prior
    if prior.size == 0:
        prior = smoothed_prior(labels.counts, labels.known, labels.kind)
    body: dict[str, Any] = {
        "kind": rule.kind,
        "names": rule.names,
        "part": scores.split,
        "rows": len(scores),
        "level": level,
        "z": float(ndtri(0.5 + level / 2)),
        "few": FEW,
        "prior": prior,
        # Where the rule is for another prior than that of its rows, so are its numbers.
        "declared": rule.target_prior != "validation",
        "locked": _locked(rule, scores),
        "rule": _rule_body(rule),
    }
    if rule.kind == "multilabel":
        cuts = [label_cuts(arm) for arm in arms]
        body["arms"] = [found.packed(arm) for found, arm in zip(cuts, arms, strict=True)]
        body["groups"] = _group_sums(scores, rule, cuts[0].made)
    else:
        body |= _joint(scores, rule)
        body["arms"] = [{"name": main.name}, *(_class_arm(arm) for arm in arms[1:])]
    made: dict[str, Any] = plain(body)
    return made


def _locked(rule: DecisionRule, scores: Scores) -> str:
    """Return why cuts that are set here may not be exported, as a word the page knows."""
    if scores.split not in ("val", "oof"):
        return "test" if scores.split == "test" else "part"
    same = rule.tuned_on.get("fingerprint") == scores.fingerprint
    return "" if same else "rows"


def _rule_body(rule: DecisionRule) -> dict[str, Any]:
    """Return the rule as its file holds it, set by hand and with cuts that the page replaces."""
    body = {
        "schema": RULE_SCHEMA,
        "version": RULE_VERSION,
        **rule.set_by_hand(np.zeros(len(rule.names))).to_dict(),
    }
    marks = body["rows"]
    if marks["loose_ids"] == marks["ids"]:
        marks["loose_ids"] = "ids"  # said once; the page copies it
    n = int(rule.tuned_on.get("n_rows", 0))
    if marks["ids"] is not None and n > _MOST_MARKS:
        marks["contents"] = None
    return body


def _columns(arm: Arm) -> Iterator[tuple[int, Floats, NDArray[np.int8], Bools]]:
    """Yield position, log-odds, truth and default flags of each label, some labels at a time."""
    scores = arm.rule.align(arm.scores)
    for start in range(0, len(scores.names), _BLOCK):
        stop = min(start + _BLOCK, len(scores.names))
        part = scores.narrow(start, stop)
        odds = arm.rule.log_odds_of(part, start, stop)
        flags = default_flags(part)
        for at, truth in enumerate(part.require_labels().columns()):
            yield start + at, odds[:, at], np.asarray(truth), flags[:, at]


@dataclass(frozen=True, slots=True, eq=False)
class LabelCuts:
    """The cuts of all labels of an arm, and which of them are its rule's and that of 0.5."""

    made: list[Cuts]
    tuned: list[int]
    default: list[int]

    def packed(self, arm: Arm) -> dict[str, Any]:
        """Return them as the page reads them."""
        own = arm.rule.thresholds
        if own is not None:  # what chooses among labels knows a cut that flags all
            every = np.array([cuts.cut[-1] for cuts in self.made])
            own = np.where(np.isneginf(own), every, own)
        return {"name": arm.name, "tuned": self.tuned, "default": self.default,
                "own": own, **_pack(self.made)}  # fmt: skip


def label_cuts(arm: Arm) -> LabelCuts:
    """Return the cuts of every label of an arm."""
    width = len(arm.rule.names)
    ladder = int(np.clip(_LADDER // width, 16, 400))
    thresholds = arm.rule.thresholds
    found = LabelCuts([], [], [])
    for column, odds, truth, flag in _columns(arm):
        known = truth >= 0
        z = odds[known]
        own = 0.0 if thresholds is None else float(thresholds[column])
        border = _border(z, np.asarray(flag[known], dtype=bool))
        cuts = Cuts.of(z, truth[known] == 1, ladder, [own, border])
        found.made.append(cuts)
        found.tuned.append(cuts.index(int((z >= own).sum())))
        found.default.append(cuts.index(int((z >= border).sum())))
    return found


def _border(odds: Floats, flag: Bools) -> float:
    """Return the cut of log-odds that flags the same rows."""
    if not flag.any():
        return float(odds.max(initial=0.0)) + 1.0
    low = float(odds[flag].min())
    below = odds[~flag]
    return low if not below.size else 0.5 * (low + float(below.max()))


def _pack(cuts: Sequence[Cuts]) -> dict[str, Any]:
    """Return cuts one after another: float64, and the steps of the counts in few bytes."""
    return {
        "size": [c.cut.size for c in cuts],
        "cut": _base64(np.concatenate([c.cut for c in cuts]).astype("<f8")),
        "tp": _varint(np.concatenate([np.diff(c.tp, prepend=0) for c in cuts])),
        "fp": _varint(np.concatenate([np.diff(c.fp, prepend=0) for c in cuts])),
    }


def _base64(array: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _varint(values: Ints) -> str:
    """Return whole numbers >= 0 in base 128, the low digits first, as base64.

    Example:
        >>> base64.b64decode(_varint(np.array([1, 300]))).hex()
        '01ac02'
    """
    digits = values[:, None] >> (7 * np.arange(9))
    more = digits[:, 1:] > 0
    used = np.column_stack([np.ones(values.size, dtype=bool), more])
    coded = (digits & 127) | (np.column_stack([more, np.zeros(values.size, dtype=bool)]) << 7)
    return _base64(coded[used].astype(np.uint8))


def _group_sums(scores: Scores, rule: DecisionRule, made: Sequence[Cuts]) -> dict[str, Any] | None:
    """Return products summed over groups on a grid of cuts, or None where rows stand alone.

    With tp, fp, positives and rows of a group as its four numbers, the variance of every number of
    the page is a quadratic form in the sums of their products over the groups.
    """
    labels = scores.require_labels()
    if labels.groups is None:
        return None
    codes = np.unique(labels.groups, return_inverse=True)[1]
    most = int(np.clip(_GRID // len(rule.names), 12, 64))
    grids, sums, counts = [], [], []
    for column, odds, truth, _ in _columns(Arm("", rule, scores)):
        known = truth >= 0
        z, yes, cut = odds[known], truth[known] == 1, made[column].cut
        own, group = np.unique(codes[known], return_inverse=True)
        grid = np.unique(np.linspace(0, cut.size - 1, most).round().astype(int))
        grids.append(grid)
        counts.append(own.size)
        sums += [products(yes, z >= cut[at], group, own.size) for at in grid]
    return {
        "count": counts,
        "size": [grid.size for grid in grids],
        "at": _varint(np.concatenate([np.diff(grid, prepend=0) for grid in grids])),
        "sums": _varint(np.concatenate(sums)),
    }


def products(yes: Bools, flag: Bools, group: Ints, count: int) -> Ints:
    """Return the ten sums over groups of the products of tp, fp, positives and rows, (10,)."""
    parts = [
        np.bincount(group[rows], minlength=count)
        for rows in (yes & flag, ~yes & flag, yes, np.ones(yes.size, dtype=bool))
    ]
    table = np.array(parts)
    return np.asarray((table @ table.T)[np.triu_indices(4)], dtype=np.int64)


def _joint(scores: Scores, rule: DecisionRule) -> dict[str, Any]:
    """Return truth, log-posteriors below the largest of the row, and groups, of at most some rows.

    Beyond that it is a random sample, and ``sampled`` says so.
    """
    labels = scores.require_labels()
    n, width = len(scores), len(rule.names)
    most = min(MOST_ROWS, MOST_CELLS // width)
    rows = np.arange(n)
    if n > most:
        rows = np.sort(generator(0, "explorer").choice(n, most, replace=False))
    values = joint_steps(rule.log_odds(scores[rows]))
    coded = values.astype("<u4").reshape(-1, 1).view(np.uint8).reshape(-1, 4)[:, :3]
    offset = np.zeros(width) if rule.class_offset is None else rule.class_offset
    groups = None
    if labels.groups is not None:
        groups = np.unique(labels.groups[rows], return_inverse=True)[1]
    return {
        "sampled": rows.size if n > most else 0,
        "truth": _varint(labels.values[rows].astype(np.int64)),
        "values": _base64(coded),
        "step": STEP,
        "codes": None if groups is None else _varint(groups.astype(np.int64)),
        "tuned": offset,
    }


def joint_steps(log_posterior: Floats) -> Ints:
    """Return how many steps each class lies below the largest of its row, (N, C) int64."""
    below = log_posterior.max(axis=1, keepdims=True) - log_posterior
    return np.asarray(np.minimum(np.round(below / STEP), DEEPEST), dtype=np.int64)


def _class_arm(arm: Arm) -> dict[str, Any]:
    """Return each class of an arm against the others, at the offsets that its rule has."""
    scores = arm.rule.align(arm.scores)
    labels: Labels = scores.require_labels()
    offset = np.zeros(len(arm.rule.names)) if arm.rule.class_offset is None else (
        arm.rule.class_offset
    )  # fmt: skip
    values = arm.rule.log_odds(scores) + offset
    made: list[Cuts] = []
    tuned: list[int] = []
    for column in range(values.shape[1]):
        others = np.delete(values, column, axis=1).max(axis=1)
        lead = values[:, column] - others
        made.append(Cuts.of(lead, labels.values == column, 200, [0.0]))
        tuned.append(made[-1].index(int((lead >= 0).sum())))
    return {"name": arm.name, "tuned": tuned, **_pack(made)}
