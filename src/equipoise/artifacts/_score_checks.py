"""What scores must satisfy before they are wrapped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.identity import loose_keys
from equipoise._core.words import one_of, say
from equipoise.artifacts.correction import Correction
from equipoise.artifacts.labels import KINDS, Kind, Labels
from equipoise.errors import DataError, ShapeError, UsageError

# Softmax in float32 may end a rounding error above 1.
ROUNDING = 1e-6


def require_range(values: NDArray[np.float64], score_kind: str) -> None:
    """Raise if probabilities lie outside [0, 1]: no declaration makes them probabilities."""
    if score_kind == "probabilities" and (values.min() < -ROUNDING or values.max() > 1 + ROUNDING):
        raise DataError(
            say(
                "probabilities",
                "lie in [0, 1]",
                f"{values.min():.4g} to {values.max():.4g}",
                "If these are outputs before sigmoid or softmax, declare them as logits.",
            )
        )


def require_kind(values: NDArray[np.float64], score_kind: str, kind: Kind) -> None:
    if score_kind == "probabilities":
        sums = values.sum(axis=1)
        if kind == "multiclass" and np.abs(sums - 1).max() > 1e-3:
            raise DataError(
                say(
                    "probabilities",
                    "sum to 1 in each row",
                    f"a row that sums to {sums[np.abs(sums - 1).argmax()]:.4g}",
                    'Independent labels are kind="multilabel".',
                )
            )
    if score_kind == "logits" and values.size >= 20 and values.min() >= 0 and values.max() <= 1:
        raise DataError(
            say(
                "logits",
                "be outputs before sigmoid or softmax",
                "only values in [0, 1], which look like probabilities",
                "Declare them as probabilities, or pass check_kind=False if they are logits.",
            )
        )


def describe(
    values: NDArray[np.float64],
    labels: Labels | None,
    kind: Kind | None,
    names: Sequence[str] | None,
) -> tuple[Kind, tuple[str, ...]]:
    """Return kind and names: those of the labels where there are any, else the declared ones."""
    if kind is not None:
        one_of("kind", kind, KINDS)
    if labels is not None:
        for what, given, own in (("kind", kind, labels.kind), ("names", names, labels.names)):
            if given is not None and given != own and tuple(given) != own:
                do = "Leave it out: the labels say it."
                raise DataError(say(what, f"be that of the labels, {own!r}", repr(given), do))
        return labels.kind, labels.names
    if kind is None:
        do = 'Pass kind="multiclass" or kind="multilabel".'
        raise UsageError(say("kind", "be given where there are no labels", None, do))
    width = values.shape[1]
    columns = tuple(str(n) for n in (range(width) if names is None else names))
    if len(columns) != width or len(set(columns)) < width:
        do = "Name every column of the scores once."
        raise ShapeError(say("names", f"be {width} different names", list(columns), do))
    return kind, columns


def join_ids(labels: Labels, ids: NDArray[Any] | None) -> tuple[Labels, NDArray[Any] | None]:
    """Return labels and ids that agree; ids that stand on one side only are shared."""
    if ids is None or labels.ids is None:
        known = labels.ids if ids is None else ids
        return replace(labels, ids=known), known
    differ = ids != labels.ids
    if differ.any():
        first = int(np.flatnonzero(differ)[0])
        got = f"'{ids[first]}' for '{labels.ids[first]}' in row {first}"
        do = "Bring scores and labels into the same order."
        if bool((loose_keys(ids) == loose_keys(labels.ids)).all()):
            do = "They are the same only trimmed or as numbers: write them alike on both sides."
        raise DataError(say("ids", "be those of the labels", got, do))
    return labels, labels.ids


def check_correction(correction: Correction | None, kind: Kind) -> None:
    if correction is not None and correction.kind != kind:
        do = "Use the correction of the loss that made these scores."
        raise DataError(say("correction.kind", f"be '{kind}'", repr(correction.kind), do))
