"""Statistics of labels: how rare, how dense, how unequal; from rows, or from counts alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.artifacts.labels import Kind, Labels
from equipoise.labels.concurrence import gini, scumble
from equipoise.labels.counts import Counts, counts_from
from equipoise.labels.pairs import pack_rows


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """What counts (and rows, where given) say about the balance of classes or labels.

    A field that has no meaning for the kind, or that needs rows where only counts were given, is
    None. Labels without positives have NaN for ``IRLbl`` and are left out of ``MeanIR``.

    Args:
        counts: The counts it was made from: names, positives, known rows, range of rows.
        imbalance_ratio: Largest over smallest count, over classes or labels that have positives.
        neg_pos_ratio: (C,) negatives per positive within each label, at least (a lower bound
            where the number of rows is a range); NaN without positives. Called ImR elsewhere.
        gini: Gini coefficient of the counts, 0 where all are equal; NaN without positives.
        effective_classes: Classes: exp of the entropy of the class shares.
        majority_share: Classes: share of the largest class.
        label_cardinality: Labels: mean number of labels per row; with unknown entries the sum of
            the prevalences. None where the number of rows is a range.
        label_cardinality_range: Labels: its lowest and highest value.
        label_density: Labels: cardinality over the number of labels.
        IRLbl: Labels: (L,) largest count over the count of each label.
        MeanIR: Labels: mean of IRLbl over labels that have positives.
        CVIR: Labels: standard deviation (n - 1) of IRLbl over MeanIR; NaN below two labels.
        empty: Names without any positive.
        distinct_labelsets: Labels, from rows: number of different combinations of positives.
        share_without_labels: Labels, from rows: share of rows known to have no label at all.
        SCUMBLE: Labels, from rows: mean over rows of :func:`equipoise.labels.scumble`.
        SCUMBLE_label: Labels, from rows: (L,) mean over the rows of each label.
    """

    counts: Counts
    imbalance_ratio: float
    neg_pos_ratio: NDArray[np.float64]
    empty: tuple[str, ...]
    gini: float = np.nan
    effective_classes: float | None = None
    majority_share: float | None = None
    label_cardinality: float | None = None
    label_cardinality_range: tuple[float, float] | None = None
    label_density: float | None = None
    IRLbl: NDArray[np.float64] | None = None
    MeanIR: float | None = None
    CVIR: float | None = None
    distinct_labelsets: int | None = None
    share_without_labels: float | None = None
    SCUMBLE: float | None = None
    SCUMBLE_label: NDArray[np.float64] | None = None

    @property
    def kind(self) -> Kind:
        """Kind of the labels."""
        return self.counts.kind

    @property
    def names(self) -> tuple[str, ...]:
        """One name per class or label."""
        return self.counts.names

    @property
    def positives(self) -> NDArray[np.int64]:
        """(C,) rows of each class or positives of each label."""
        return self.counts.positives

    def to_dict(self) -> dict[str, Any]:
        """Return every field by name, counts unfolded, arrays as lists."""
        low, high = self.counts.prevalence_range
        body: dict[str, Any] = {
            "kind": self.kind,
            "names": list(self.names),
            "n_rows": self.counts.n_rows,
            "n_rows_range": self.counts.n_rows_range,
            "positives": self.positives.tolist(),
            "prevalence_low": low.tolist(),
            "prevalence_high": high.tolist(),
        }
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            body[field.name] = value.tolist() if isinstance(value, np.ndarray) else value
        return body


def _per_positive(counts: Counts) -> NDArray[np.float64]:
    positives = counts.positives.astype(float)
    rows = np.full(len(counts), float(counts.n_rows_range[0]))
    rows = rows if counts.known is None else counts.known.astype(float)
    ratio = np.full(len(counts), np.nan)
    np.divide(rows - positives, positives, out=ratio, where=positives > 0)
    return ratio


def _class_fields(positives: NDArray[np.int64]) -> dict[str, Any]:
    share = positives[positives > 0] / positives.sum()
    return {
        "effective_classes": float(np.exp(-(share * np.log(share)).sum())),
        "majority_share": float(share.max()),
    }


def _label_fields(counts: Counts) -> dict[str, Any]:
    positives = counts.positives.astype(float)
    top = positives.max()
    ratio = np.divide(top, positives, out=np.full(len(counts), np.nan), where=positives > 0)
    present = ratio[positives > 0]
    mean = float(present.mean()) if present.size else np.nan
    spread = float(present.std(ddof=1) / mean) if present.size > 1 else np.nan
    low, high = (float(np.nansum(p)) for p in counts.prevalence_range)
    exact = low if counts.n_rows is not None else None
    return {
        "label_cardinality": exact,
        "label_cardinality_range": (low, high),
        "label_density": None if exact is None else exact / len(counts),
        "IRLbl": ratio,
        "MeanIR": mean,
        "CVIR": spread,
    }


def _row_fields(labels: Labels) -> dict[str, Any]:
    entries = labels.entries
    bare = np.diff(entries.starts) == 0
    if labels.is_sparse:
        sets = int(entries.present.row_codes().max()) + 1
    else:
        sets = int(np.unique(pack_rows(labels.values == 1)).size)
    concurrence = scumble(labels)
    return {
        "SCUMBLE": concurrence.mean,
        "SCUMBLE_label": concurrence.labels,
        "distinct_labelsets": sets,
        "share_without_labels": float(bare.mean()),
    }


def label_statistics(
    source: Labels | Counts | Mapping[str, int], *, n_rows: int | None = None
) -> Statistics:
    r"""Measure the balance of classes or labels (Charte et al., 2015, for multi-label data).

    Use when you want numbers; prefer :func:`equipoise.diagnosis.diagnose` for what they mean.

    .. math:: \mathrm{IRLbl}_l = \max_k n_k / n_l, \quad
        \mathrm{MeanIR} = \mathrm{mean}_{l: n_l > 0} \mathrm{IRLbl}_l

    Args:
        source: Labels, Counts, or a mapping name -> positives (multi-label).
        n_rows: Number of rows behind a mapping.

    Returns:
        The statistics; what needs rows is None where only counts were given.

    Example:
        >>> s = label_statistics({"A": 19000, "B": 65000, "C": 38000, "D": 105000}, n_rows=224000)
        >>> round(s.label_cardinality, 2), round(s.MeanIR, 2), s.IRLbl.round(1).tolist()
        (1.01, 2.73, [5.5, 1.6, 2.8, 1.0])

    References:
        Charte, Rivera, del Jesus, Herrera. Addressing imbalance in multilabel classification:
        measures and random resampling algorithms. Neurocomputing 163, 2015, eq. 1 to 5.
    """
    counts = counts_from(source, n_rows=n_rows)
    positives = counts.positives
    present = positives[positives > 0]
    extra = _class_fields(positives) if counts.kind == "multiclass" else _label_fields(counts)
    if isinstance(source, Labels) and source.kind == "multilabel":
        extra |= _row_fields(source)
    return Statistics(
        counts=counts,
        imbalance_ratio=float(present.max() / present.min()) if present.size else np.nan,
        neg_pos_ratio=_per_positive(counts),
        gini=gini(positives) if present.size else np.nan,
        empty=tuple(n for n, p in zip(counts.names, positives, strict=True) if p == 0),
        **extra,
    )
