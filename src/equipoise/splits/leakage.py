"""Leakage: what a split lets the model see of the rows it is judged on, and what it hides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Ints
from equipoise._core.checks import require_shape
from equipoise._core.codes import CODES
from equipoise._core.identity import as_text, hashable_ids
from equipoise._core.messages import listed, say
from equipoise.artifacts.finding import Finding
from equipoise.artifacts.labels import Labels
from equipoise.artifacts.split import Split
from equipoise.errors import DataError, UsageError
from equipoise.splits._proof import count_parts, crossing_groups, id_proof
from equipoise.splits.stratified import PARTS, group_codes


def row_hashes(features: ArrayLike) -> NDArray[np.uint64]:
    """Return (N,) uint64, equal exactly where rows of features are equal.

    Args:
        features: (N, ...) numbers or text; the first axis is rows.

    Returns:
        64 bits of a BLAKE2b hash per row; 0.0 and -0.0 are equal, and so are any two NaN.

    Example:
        >>> hashes = row_hashes([[1.0, 2.0], [1.0, 2.0], [1.0, 3.0]])
        >>> bool(hashes[0] == hashes[1]), bool(hashes[0] == hashes[2])
        (True, False)
    """
    array = np.asarray(features)
    if array.ndim == 0 or array.dtype.kind == "O":
        raise DataError(say("features", "be an array of numbers, one row each", array.dtype))
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), np.nan, array + 0.0).astype(array.dtype)
    rows = np.ascontiguousarray(array.reshape(array.shape[0], -1))
    digests = b"".join(blake2b(row.tobytes(), digest_size=8).digest() for row in rows)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def _finding(code: str, message: str, evidence: dict[str, Any], *suggests: str) -> Finding:
    return Finding(code, *CODES[code], message, evidence, suggests)


def require_same_rows(split: Split, labels: Labels, name: str) -> None:
    """Raise unless a split is of these rows, in their order, as far as its proof can tell.

    Positions bind nothing: ids do, where split and labels have them, and else the positives of
    each part, where both have the same labels.

    Args:
        split: From a file, or by hand: without a proof nothing but the number of rows is compared.
        labels: Of the rows that it is used on.
        name: Of the split, in messages.

    Raises:
        DataError: another number of rows, other ids, or other positives in a part.
    """
    do = "Split the table that is used, or sort it as it was."
    if split.n_rows != len(labels):
        expected = f"be of the data's {len(labels)} rows"
        raise DataError(say(name, expected, split.n_rows, do))
    expected = "be of the data's rows, in their order"
    told, ids = split.proof.get("ids"), id_proof(labels)
    whole = isinstance(told, Mapping) and told.get("rows") == split.n_rows and ids is not None
    if whole and told != ids:
        raise DataError(say(name, expected, "rows with other ids, or in another order", do))
    counts = split.proof.get("counts")
    if isinstance(counts, Mapping) and list(split.proof.get("names") or ()) == list(labels.names):
        for part, stated in counts.items():
            if part not in PARTS or split.proof.get("rows", {}).get(part) != split.sizes[part]:
                continue
            found = labels[getattr(split, part)].counts
            if list(stated) != found.tolist():
                got = f"{found.tolist()[:5]} positives in {part}, where it says {stated[:5]}"
                raise DataError(say(name, expected, got, do))


def _membership(split: Split) -> Ints:
    member = np.full(split.n_rows, -1, dtype=np.int64)
    for code, part in enumerate(PARTS):
        member[getattr(split, part)] = code
    return member


def _groups_crossing(member: Ints, codes: Ints, names: NDArray[Any]) -> Iterator[Finding]:
    crossing = crossing_groups(member, codes)
    if crossing.size:
        rows = int(np.isin(codes[member >= 0], crossing).sum())
        first = [str(names[c]) for c in crossing[:5]]
        yield _finding(
            "EQ201",
            f"{crossing.size} of {codes.max() + 1} groups ({rows} rows) stand in more than one "
            f"part (first: {', '.join(first)}). Results on val and test will be too good.",
            {"crossing": int(crossing.size), "rows": rows, "first": first},
            "Split with stratified_split(labels, groups=...).",
        )


def _identical_rows(member: Ints, codes: Ints) -> Iterator[Finding]:
    crossing = crossing_groups(member, codes)
    if crossing.size:
        shared = np.isin(codes, crossing)
        rows = {part: int((shared & (member == c)).sum()) for c, part in enumerate(PARTS)}
        where = ", ".join(f"{n} in {part}" for part, n in rows.items() if n)
        yield _finding(
            "EQ202",
            f"{crossing.size} different rows occur in more than one part ({where}).",
            {"contents": int(crossing.size), "rows": rows},
            "Remove duplicates before splitting.",
            "Or pass the row hashes as groups=, so that copies stay together.",
        )


def _repeated_rows(member: Ints, codes: Ints, labels: Labels) -> Iterator[Finding]:
    copies = np.bincount(codes)[codes] > 1
    inside = member >= 0
    copies &= inside
    if not copies.any():
        return
    positives = labels.one_hot()[inside] == 1
    copied, share = copies[inside], float(copies[inside].mean())
    total, among = positives.sum(axis=0), (positives & copied[:, None]).sum(axis=0)
    rate = among / np.maximum(total, 1)
    others = (copied.sum() - among) / np.maximum(copied.size - total, 1)
    top = int((rate - others).argmax())
    suspect = bool(rate[top] > 0.2 and rate[top] > 2 * others[top])
    message = f"{int(copies.sum())} rows ({share:.1%}) are copies of another row"
    message += f"; among positives of '{labels.names[top]}' it is {rate[top]:.1%}"
    message += ", which looks like oversampling before the split." if suspect else "."
    yield _finding(
        "EQ204",
        message,
        {
            "rows": int(copies.sum()),
            "share": share,
            "share_of_positives": dict(zip(labels.names, rate.tolist(), strict=True)),
            "looks_oversampled": suspect,
        },
        "Split first, then repeat rows inside train only (or use a sampler).",
        "If the source itself holds copies, remove them before counting anything.",
    )


def _missing_labels(member: Ints, labels: Labels, codes: Ints | None) -> Iterator[Finding]:
    rows, positives, _ = count_parts(labels, member, len(PARTS))
    active = np.flatnonzero(rows)
    enough = positives.sum(axis=0) >= active.size
    missing = {
        PARTS[p]: [
            n for n, c, e in zip(labels.names, positives[p], enough, strict=True) if e and not c
        ]
        for p in active
    }
    missing = {part: names for part, names in missing.items() if names}
    if missing:
        where = "; ".join(f"{part}: {listed(names)}" for part, names in missing.items())
        yield _finding(
            "EQ203",
            f"Labels with enough rows for every part are missing from some ({where}). "
            "What is missing from train cannot be learned, from val not tuned, from test not "
            "measured.",
            {"missing": missing},
            "Use stratified_split, which promises every label to every part."
            + (" With groups it needs as many groups as parts." if codes is not None else ""),
        )


def audit_split(
    split: Split,
    labels: Labels,
    *,
    features: ArrayLike | None = None,
    hashes: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> list[Finding]:
    """Look for leaks and holes in a split, wherever it came from.

    Use when a split was made by hand or by another program; those made here pass.

    Args:
        split: The split.
        labels: The labels of all rows.
        features: (N, ...) inputs, to find identical rows by an exact hash.
        hashes: (N,) hashes instead of features, for example of image files.
        groups: (N,) rows that belong together; by default the labels' own groups.

    Returns:
        EQ201 groups in several parts, EQ202 identical rows in several parts, EQ203 labels missing
        from a part though there are enough, EQ204 repeated rows. Without groups, EQ201 is not
        looked for; without features or hashes, EQ202 and EQ204 are not.

    Raises:
        DataError: rows of split, labels and features do not match.
        UsageError: both features and hashes are given.

    Example:
        >>> labels = Labels.from_array([0, 1, 0, 1], kind="multiclass", groups=[7, 7, 8, 8])
        >>> split = Split.from_parts([0, 1, 2], [3], [], n_rows=4, seed=0, method="by hand")
        >>> [f.code for f in audit_split(split, labels)]
        ['EQ201', 'EQ203']
    """
    if split.n_rows != len(labels):
        raise DataError(say("split", f"be of the {len(labels)} labelled rows", split.n_rows))
    if features is not None and hashes is not None:
        raise UsageError(say("features and hashes", "not be given both", "both"))
    member = _membership(split)
    codes = group_codes(labels, groups)
    found: list[Finding] = []
    if codes is not None:
        own = labels.groups if groups is None else groups
        names = np.unique(hashable_ids(as_text(np.asarray(own))))  # as the codes are ordered
        found += _groups_crossing(member, codes, names)
    found += _missing_labels(member, labels, codes)
    keys = row_hashes(features) if features is not None else hashes
    if keys is not None:
        array = np.asarray(keys)
        require_shape("features or hashes", array, (len(labels),), "One entry per labelled row.")
        content = np.unique(array, return_inverse=True)[1].reshape(-1)
        found += _identical_rows(member, content)
        found += _repeated_rows(member, content, labels)
    return sorted(found, key=lambda finding: finding.code)
