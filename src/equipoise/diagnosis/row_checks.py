"""Checks that need rows: contradictions, pairs of labels, missing labels, parts that differ."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize
from scipy.special import expit, log_expit, logit
from scipy.stats import chi2_contingency

from equipoise._core.arrays import Floats, Ints
from equipoise._core.messages import hint, listed
from equipoise.artifacts.finding import Finding
from equipoise.artifacts.labels import UNKNOWN, Labels
from equipoise.diagnosis._registry import check, finding
from equipoise.diagnosis.material import Material
from equipoise.labels.pairs import cooccurring, pack_rows
from equipoise.splits.copies import near_pairs
from equipoise.splits.leakage import row_hashes

_ALWAYS, _NEVER = 20, 10.0
_PARTS = ("train", "val", "test")
_LEVEL = 0.01
_SURE = 15.1  # of a likelihood ratio; chi-squared with one degree of freedom passes it once in 1e4
_DISTANCE = 3


@check("EQ108")
def contradicting(material: Material) -> list[Finding] | None:
    """Find rows with the same inputs and other labels."""
    labels = material.labels
    if labels is None or material.features is None:
        return None
    hashes = row_hashes(material.features)
    _, group, sizes = np.unique(hashes, return_inverse=True, return_counts=True)
    several = sizes[group] > 1
    if not several.any():
        return []
    rows = np.flatnonzero(several)
    keys = _label_keys(labels)[rows]
    pairs = np.unique(np.stack([group[rows], np.unique(keys, return_inverse=True)[1]]), axis=1)
    groups, kinds = np.unique(pairs[0], return_counts=True)
    bad = groups[kinds > 1]
    if not bad.size:
        return []
    involved = int(np.isin(group, bad).sum())
    first = np.flatnonzero(group == bad[0])[:5].tolist()
    return [
        finding(
            "EQ108",
            f"{involved:,} rows in {bad.size:,} groups have the same inputs and different labels "
            f"(for example rows {', '.join(map(str, first))}). No model can be right on all of "
            "them, and a weighted loss pays most for those of the rare side.",
            {"groups": int(bad.size), "rows": involved, "example": first},
            "Look at some: two annotators, two findings on one image, or a broken join.",
            "Merge them into one row, or keep the shares as soft targets.",
        )
    ]


def _label_keys(labels: Labels) -> NDArray[np.generic]:
    if labels.kind == "multiclass":
        return labels.values
    if labels.is_sparse:
        return labels.entries.row_codes()
    both = np.concatenate([labels.values == 1, labels.values == UNKNOWN], axis=1)
    return pack_rows(both)


@check("EQ109")
def paired_labels(material: Material) -> list[Finding] | None:
    """Find labels that always, or never, come together."""
    labels = material.labels
    if labels is None or labels.kind != "multilabel" or labels.num_classes < 2:
        return None
    counts, n, names = labels.counts, len(labels), labels.names
    single = n >= _ALWAYS and bool((labels.entries.present.per_row() == 1).all())
    if single and not labels.entries.counts(UNKNOWN).any():
        return [_classes_after_all(labels)]
    left, right, together = cooccurring(labels)
    sure = (left != right) & (counts[left] >= _ALWAYS) & (together == counts[left])
    always = [
        (names[i], names[j], c)
        for i, j, c in zip(left[sure].tolist(), right[sure].tolist(), together[sure].tolist(),
                           strict=True)
    ]  # fmt: skip
    first, second = _never_together(counts, n, left * counts.size + right)
    expected = (counts[first] * counts[second] / n).tolist()
    never = [
        (names[i], names[j], e)
        for i, j, e in zip(first.tolist(), second.tolist(), expected, strict=True)
    ]
    if not always and not never:
        return []
    parts = []
    if always:
        shown = [f"{a} always with {b} ({c} rows)" for a, b, c in always]
        parts.append(listed(shown, 4))
    if never:
        shown = [f"{a} never with {b} ({e:.0f} expected by chance)" for a, b, e in never]
        parts.append(listed(shown, 4))
    return [
        finding(
            "EQ109",
            f"{'; '.join(parts)}. Oversampling one of a pair that always comes together raises "
            "both; labels that exclude each other may be classes of one question.",
            {"always": always[:100], "never": never[:100]},
            "Labels that exclude each other throughout: one softmax over them may fit better.",
            "An implied label needs no output of its own.",
        )
    ]


def _classes_after_all(labels: Labels) -> Finding:
    """Say that each row has exactly one label."""
    width = labels.num_classes
    return finding(
        "EQ109",
        f"Each of the {len(labels):,} rows has exactly one of the {width} labels: they exclude one "
        "another, so they are the classes of one question. As labels each gets a probability and a "
        "cut of its own, and a row may end with none of them, or with several.",
        {"rows": len(labels), "labels": width},
        hint("Write them as one column that names the class, and read it with {kind=multiclass}."),
        "Leave them as labels where a row could have several, and these rows only happen not to.",
    )


def _never_together(counts: Ints, n: int, met: Ints) -> tuple[Ints, Ints]:
    """Return the pairs that never meet though chance would have them meet, by left and right.

    Only labels whose counts are large enough together are paired: there are at most
    n / 10 times the squared mean number of labels per row of these.

    Args:
        counts: (L,) positives.
        n: Rows.
        met: Of pairs that do meet, left * L + right, rising.
    """
    falling = np.argsort(-counts, kind="stable")
    sizes = counts[falling]
    needed = _NEVER * n / np.maximum(sizes, 1)
    # How many of the labels, the most frequent first, each label may be paired with.
    reach = np.searchsorted(-sizes, -needed, side="right")
    reach = np.where(sizes > 0, reach, 0)
    starts = np.cumsum(reach) - reach
    one = np.repeat(falling, reach)
    other = falling[np.arange(reach.sum()) - np.repeat(starts, reach)]
    kept = (one < other) & (counts[one] * counts[other] / n >= _NEVER)
    pairs = np.sort(one[kept] * counts.size + other[kept])
    at = np.minimum(np.searchsorted(met, pairs), max(met.size - 1, 0))
    pairs = pairs[met[at] != pairs] if met.size else pairs
    return pairs // counts.size, pairs % counts.size


@check("EQ110")
def missing_labels(material: Material) -> list[Finding] | None:
    """Find negatives that look like positives more than the positives do."""
    scores = material.scores
    if scores is None or scores.labels is None or not scores.has_probabilities:
        return None
    if scores.split not in ("val", "oof", "test") or scores.kind != "multilabel":
        return None
    odds, truth = scores.log_odds(), scores.labels.one_hot()
    rows = {}
    for i, name in enumerate(scores.names):
        known = (truth[:, i] >= 0) & np.isfinite(odds[:, i])
        positive = truth[known, i] == 1
        if not _ALWAYS <= positive.sum() < positive.size:
            continue
        seen = _labelled_share(odds[known, i], positive)
        if seen.statistic > _SURE and seen.missing > max(3, 0.1 * positive.sum()):
            rows[name] = {
                "missing": round(seen.missing),
                "labelled_share": round(seen.share, 3),
                "likelihood_ratio": round(seen.statistic, 1),
                "positives": int(positive.sum()),
            }
    if not rows:
        return []
    shown = [
        f"{n} about {r['missing']:,} ({r['positives']:,} marked are {r['labelled_share']:.0%})"
        for n, r in rows.items()
    ]
    return [
        finding(
            "EQ110",
            f"Rows without a label that this model cannot tell from positives: {listed(shown)}. "
            "However high it scores, the share of marked rows stops there, whatever weight or "
            "slope its probabilities have: some positives were not marked, or one kind of negative "
            "looks just like them.",
            {"labels": rows},
            "Look at the highest of them before any remedy: weights and hard negatives punish "
            "the model for being right.",
            "Mark them as unknown (-1) until then: losses here leave them out.",
        )
    ]


class _Seen(NamedTuple):
    """Share of positives that are marked, how many are not, and the evidence against none."""

    share: float
    missing: float
    statistic: float


def _labelled_share(log_odds: Floats, marked: NDArray[np.bool_]) -> _Seen:
    """Fit P(marked | z) = c sigmoid(a z + b), c free and c = 1, by maximum likelihood.

    Weights, samplers and an overconfident model change a and b alone, so that probabilities need
    not be calibrated; positives that nobody marked hold the curve below 1.

    References: Elkan, Noto, KDD 2008, lemma 1; Jaskie, Elkan, Spanias, Asilomar 2019, equation 6,
    whose 1 / (1 + b^2) is c.
    """
    y = marked.astype(np.float64)
    z = (log_odds - log_odds.mean()) / (log_odds.std() or 1.0)

    def loss(at: Floats) -> tuple[float, Floats]:
        """Return minus the log-likelihood and its slopes in (a, b, logit c)."""
        log_c, log_q = log_expit(at[2]), log_expit(at[0] * z + at[1])
        p, c, q = np.exp(log_c + log_q), np.exp(log_c), np.exp(log_q)
        rest = np.maximum(1 - p, 1e-300)
        of_negatives = (1 - y) * p / rest
        in_line = of_negatives * (1 - q) - y * (1 - q)
        in_share = (of_negatives - y).sum() * (1 - c)
        value = -(y * (log_c + log_q) + (1 - y) * np.log(rest)).sum()
        return float(value), np.array([(in_line * z).sum(), in_line.sum(), in_share])

    def fitted(start: Floats, share: tuple[float, float]) -> OptimizeResult:
        bounds = [(0, None), (None, None), share]
        return minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)

    # 30 on the logit is c = 1 to the last digit.
    whole = fitted(np.array([1.0, float(logit(y.mean())), 30.0]), (30, 30))
    part = min(
        (fitted(np.array([*whole.x[:2], at]), (-5, 12)) for at in (3.0, 0.0)), key=lambda r: r.fun
    )
    share, odds = float(expit(part.x[2])), expit(part.x[0] * z + part.x[1])
    missing = float(((1 - y) * odds * (1 - share) / (1 - share * odds)).sum())
    return _Seen(share, missing, 2 * float(whole.fun - part.fun))


@check("EQ205")
def near_images(material: Material) -> list[Finding] | None:
    """Find nearly the same images in several parts."""
    if material.split is None or material.image_hashes is None:
        return None
    member = np.full(material.split.n_rows, -1)
    for code, part in enumerate(_PARTS):
        member[getattr(material.split, part)] = code
    pairs = near_pairs(material.image_hashes, max_distance=_DISTANCE)
    left, right = member[pairs[:, 0]], member[pairs[:, 1]]
    bad = pairs[(left != right) & (left >= 0) & (right >= 0)]
    if not bad.size:
        return []
    rows = int(np.unique(bad).size)
    return [
        finding(
            "EQ205",
            f"{rows:,} images stand in one part and nearly the same in another ({len(bad):,} "
            f"pairs; first: rows {bad[0, 0]} and {bad[0, 1]}): resized, recompressed or taken a "
            "moment later. What is measured on them is memory.",
            {"rows": rows, "pairs": len(bad), "first": bad[:20].tolist()},
            "Give each pair one group (patient, scene, video) and split by groups.",
        )
    ]


@check("EQ206")
def shifted_parts(material: Material) -> list[Finding] | None:
    """Find labels whose share differs between the parts of a split by more than chance."""
    if material.split is None or material.labels is None:
        return None
    labels, split = material.labels, material.split
    parts = [p for p in _PARTS if getattr(split, p).size]
    if len(parts) < 2:
        return []
    chosen = [labels[getattr(split, p)] for p in parts]
    positive = np.stack([part.counts for part in chosen])
    negative = (
        np.stack([np.broadcast_to(part.known, part.counts.shape) for part in chosen]) - positive
    )
    rows = {}
    for i, name in enumerate(labels.names):
        table = np.stack([positive[:, i], negative[:, i]], axis=1)
        if (table.sum(0) < 10).any() or (table.sum(1) == 0).any():
            continue
        if chi2_contingency(table, correction=False).pvalue < _LEVEL / len(labels.names):
            share = table[:, 0] / table.sum(1)
            rows[name] = dict(zip(parts, share.round(6).tolist(), strict=True))
    if not rows:
        return []
    shown = [f"{n} ({', '.join(f'{p} {s:.3f}' for p, s in r.items())})" for n, r in rows.items()]
    return [
        finding(
            "EQ206",
            f"Shares that differ between parts by more than chance: {listed(shown)}. A threshold "
            "or calibration made on one part is then off on the other. Balanced test sets of a "
            "long tail are made so on purpose.",
            {"labels": rows},
            "Stratify the split (equipoise split), by groups where there are any.",
            "Where the difference is real, declare it: tune(..., target_prior=...).",
        )
    ]
