"""Command-line words and files to artifacts: counts, priors, scores of any framework."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from equipoise._core.checks import require_plain, to_whole
from equipoise._core.messages import Argument, Message, hint, one_of, say
from equipoise._core.reading import load_arrays, reading_file
from equipoise.artifacts import DecisionRule, Labels, Scores
from equipoise.artifacts.scores import SCORE_KINDS, SplitName
from equipoise.errors import DataError, UsageError
from equipoise.io import as_numbers, read_labels, read_table
from equipoise.io.labels import LabelArguments, OtherLabelArguments
from equipoise.io.tables import require_columns

NAMES = "label_names"


def counts_from_text(text: str) -> dict[str, int]:
    """Return the counts of "A=19000,B=65000"."""
    counts: dict[str, int] = {}
    # 19,000 is one number: a comma before three digits and no name parts thousands.
    for part in re.sub(r"(?<=\d),(?=\d{3}(?:,|$))", "", text.replace(" ", "")).split(","):
        name, found, number = part.partition("=")
        if not found or not number.strip().isdecimal() or not name.strip():
            raise UsageError(say("counts", "look like A=19000,B=65000", repr(part)))
        if name.strip() in counts:
            raise UsageError(say("counts", "name each label once", repr(name.strip())))
        counts[name.strip()] = to_whole("counts", number)
    return counts


def _is_saved(path: Path) -> bool:
    if path.suffix != ".parquet" or not path.is_file():
        return False
    import polars as pl

    with reading_file(path, "be a Parquet file"):
        return "equipoise" in pl.read_parquet_metadata(path)


def read_arrays(path: Path) -> tuple[Any, dict[str, Sequence[str]]]:
    """Return an npz file as a table, and the columns that each (N, C) array became.

    Arrays of another length stay out; `label_names` goes along under its own name.
    """
    import polars as pl

    do = "Save it with numpy.savez, without objects."
    stored = load_arrays(path, "be an npz file", do)
    if isinstance(stored, np.ndarray):
        raise DataError(say(str(path), "be an npz file", "a single array", do))
    for name, array in stored.items():
        require_plain(f"{path}, array {name}", array)
    rows = max((len(a) for n, a in stored.items() if a.ndim and n != NAMES), default=0)
    if not rows:
        got = {name: array.shape for name, array in stored.items()} or "none"
        raise DataError(say(str(path), "hold arrays with a row per example", got))
    table: dict[str, Any] = {}
    arrays: dict[str, Sequence[str]] = {}
    for name, array in stored.items():
        if name == NAMES:
            if array.ndim != 1:
                expected = f"hold one name per column in `{NAMES}`"
                raise DataError(say(str(path), expected, f"shape {array.shape}"))
            arrays[NAMES] = [str(n) for n in array]
        elif array.ndim == 1 and len(array) == rows:
            table[name] = array
        elif array.ndim == 2 and len(array) == rows:
            arrays[name] = [f"{name}[{i}]" for i in range(array.shape[1])]
            table |= dict(zip(arrays[name], array.T, strict=True))
    return pl.DataFrame(table), arrays


def named_columns(
    names: Sequence[str] | None, arrays: Mapping[str, Sequence[str]]
) -> Sequence[str] | None:
    """Return the columns that are meant: those of an (N, C) array where one is named."""
    if names is not None and len(names) == 1 and names[0] in arrays and names[0] != NAMES:
        return arrays[names[0]]
    return names


class ScoreArguments(OtherLabelArguments, total=False):
    """Keywords of readers of scores beside those of :func:`equipoise.io.read_labels`."""

    split: SplitName
    rule: DecisionRule | None


def read_scores(
    path: str | Path,
    score_kind: str | None = None,
    columns: Sequence[str] | None = None,
    label: str | None = None,
    **more: Unpack[ScoreArguments],
) -> Scores:
    """Read scores: a file written by :meth:`Scores.save`, or a table with its kind declared.

    Names bind, positions do not: see :func:`bind_columns`. What was matched by position, or by a
    part of the names, is warned of.

    Args:
        path: Parquet, CSV or npz.
        score_kind: "logits", "probabilities" or "ranking"; a table without it is refused.
        columns: The score columns; or one (N, C) array of an npz file, whose columns have the
            names in its array `label_names` where there is one.
        label: The column of the true class, or of several labels as "A|D".
        more: ``labels``, the columns of the true labels, one each, or one (N, L) array of an npz
            file, and the other keywords of :func:`equipoise.io.read_labels`; ``split``, which part
            the rows are; ``rule``, the rule that the scores are for.

    Returns:
        Scores whose columns have the names, and the order, of the rule or else of the labels.

    Raises:
        DataError: the table does not hold what is named, or its names are in part those that are
            expected.
        UsageError: the kind is not declared, or columns are not named.
    """
    return read_named_scores(path, score_kind, columns, label=label, **more)[0]


def read_named_scores(
    path: str | Path,
    score_kind: str | None = None,
    columns: Sequence[str] | None = None,
    *,
    split: SplitName = "val",
    rule: DecisionRule | None = None,
    **where: Unpack[LabelArguments],
) -> tuple[Scores, tuple[str, ...]]:
    """Return what :func:`read_scores` does, and the names of the score columns in its order."""
    file = Path(path)
    if _is_saved(file):
        saved = Scores.load(file)
        if rule is not None and set(saved.names) == set(rule.names):
            saved = saved.in_order(rule.names)
        return saved, saved.names
    frame, arrays = read_arrays(file) if file.suffix == ".npz" else (read_table(file), {})
    columns = named_columns(columns, arrays)
    labels = named_columns(where.get("labels"), arrays)
    if score_kind is None or columns is None:
        raise UsageError(
            say(
                str(path),
                hint("be a file that equipoise wrote, or come with {score_kind=} and {columns=}"),
                "a table",
                _say_what(file.suffix == ".npz"),
            )
        )
    one_of("score_kind", score_kind, SCORE_KINDS)
    require_columns(frame, "columns", columns, once=True)
    truths = {where.get("label"), *(labels or ()), where.get("id_column")}
    if both := [column for column in columns if column in truths]:
        do = "Scores are what the model says, not what is true of the rows."
        raise DataError(say("columns", "name no label or id", repr(both[0]), do))
    called = array_names(columns, arrays)
    names = None if rule is None else rule.names
    where["labels"] = list(labels) if labels else None
    where["kind"] = "multilabel" if labels else None
    where["names"] = _label_names(frame, where, labels, names, called, arrays)
    truth = read_labels(frame, **where)
    if names is not None:
        truth = _in_rule_order(truth, names)
    order = bind_columns(called, truth.names, () if rule is None else rule.score_names)
    values = as_numbers(frame, [columns[i] for i in order]).to_numpy()
    given: dict[str, Any] = {score_kind: np.asarray(values)}
    return Scores.from_arrays(truth, split=split, **given), tuple(called[i] for i in order)


def read_new_scores(path: str | Path, columns: Sequence[str], like: Scores) -> Scores:
    """Return scores of rows without labels, of a table or a file that equipoise wrote.

    Args:
        path: The file.
        columns: Score columns of a table, in the order of the names of ``like``.
        like: Scores of the same model.

    Raises:
        DataError: a column that is not there, or holds no numbers.
    """
    file = Path(path)
    if _is_saved(file):
        return Scores.load(file)
    frame = read_table(file)
    require_columns(frame, "columns", columns)
    given: dict[str, Any] = {like.score_kind: as_numbers(frame, list(columns)).to_numpy()}
    return Scores.from_arrays(None, **given, split="new", kind=like.kind, names=like.names)


def _say_what(arrays: bool) -> Message:
    words = ("arrays", "z", "y") if arrays else ("columns", "zA,zB", "A,B")
    return Message(
        f"Say what the {words[0]} are: ", Argument("score_kind", "logits"), " ",
        Argument("columns", words[1]), " ", Argument("labels", words[2]), ".",
    )  # fmt: skip


def array_names(columns: Sequence[str], arrays: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """Return what columns are called: those of an (N, C) array as in its file's `label_names`."""
    whole = any(list(columns) == list(parts) for name, parts in arrays.items() if name != NAMES)
    known = arrays.get(NAMES)
    return known if whole and known is not None and len(known) == len(columns) else columns


def bind_columns(
    given: Sequence[str], names: Sequence[str], stored: Sequence[str] = ()
) -> list[int]:
    """Return for every name the position of the column that holds it.

    The columns are matched with the stored names of a rule's own score columns, or with the
    names themselves, where the sets are equal; also where every column is a name with the same
    text before or behind it (`p_cat`, `p_dog`). Names that have nothing in common are matched by
    position. What is matched by position, or moved by a part of its name, is warned of.

    Args:
        given: The score columns, as named by whoever calls.
        names: Labels or classes, in the order that is wanted.
        stored: The score columns of the rule, in the order of ``names``.

    Raises:
        DataError: another number of columns, a name twice, or names that are in part the same.

    Example:
        >>> bind_columns(["bird", "cat"], ["cat", "bird"])
        [1, 0]
    """
    for wanted in (stored, names):
        if wanted and len(given) == len(wanted) and set(given) == set(wanted):
            return [list(given).index(name) for name in wanted]
    if len(set(given)) < len(given) or len(given) != len(names):
        expected = f"name one column for each of {list(names)}"
        do = "Each column once."
        if len(names) == 1 and len(given) == 2:
            do = "Two classes are one label here: give the column of the positive one alone."
        raise DataError(say("columns", expected, list(given), do))
    common = sorted(set(given) & (set(names) | set(stored)))
    if common:
        expected = f"name the columns of {list(stored or names)}, all or none of them"
        do = "Names are matched, not positions: rename the columns that differ."
        raise DataError(say("columns", expected, f"{list(given)}, of which {common} are", do))
    found = next(filter(None, (_by_affix(given, w) for w in (names, stored) if w)), None)
    if found is not None:
        if found != sorted(found):
            pairs = ", ".join(f"{given[i]} for {n}" for i, n in zip(found, names, strict=True))
            _warn(f"score columns are matched by what their names share: {pairs}", len(names))
        return found
    pairs = ", ".join(f"{c} for {n}" for c, n in zip(given, names, strict=True))
    _warn(f"score columns are matched by position, for no name agrees: {pairs}", len(names))
    return list(range(len(names)))


def _by_affix(given: Sequence[str], wanted: Sequence[str]) -> list[int] | None:
    """Match "p_cat" with "cat" where every column has the same text around a name."""
    longest = max(wanted, key=len)
    for column in given:
        at = column.find(longest)
        if at < 0:
            continue
        before, behind = column[:at], column[at + len(longest) :]
        spelt = [f"{before}{name}{behind}" for name in wanted]
        if set(spelt) == set(given):
            return [list(given).index(text) for text in spelt]
    return None


def _warn(message: str, width: int) -> None:
    # One column for one label leaves nothing to be mistaken.
    if width > 1:
        warnings.warn(message, stacklevel=3)


def _label_names(
    frame: Any,
    where: LabelArguments,
    labels: Sequence[str] | None,
    names: Sequence[str] | None,
    called: Sequence[str],
    arrays: Mapping[str, Sequence[str]],
) -> Sequence[str] | None:
    """Return the names to read labels by: the rule's, or the score columns where they are such.

    The labels of an (N, L) array have those of the array `label_names`, or else of the rule.
    """
    label = where.get("label")
    if labels or label is None:
        whole = labels is not None and array_names(labels, arrays) is not labels
        plain = any(list(labels or ()) == list(parts) for parts in arrays.values())
        return arrays[NAMES] if whole else names if plain else None
    if names is not None:
        return names
    return _classes_among(frame, label, called, where)


_CODED = ("delimiter", "positive", "negative", "unknown", "empty_token", "coding")


def _classes_among(
    frame: Any, label: str, called: Sequence[str], where: LabelArguments
) -> Sequence[str] | None:
    """Return the score columns as classes where they name them; a part of them is refused."""
    if label not in frame.columns or len(called) < 2:
        return None
    coded: Any = {k: v for k, v in where.items() if k in _CODED}
    found = set(read_labels(frame, label=label, **coded).names)
    for known in (called, _bare(called, found)):
        if known is None or not found & set(known):
            continue
        if found <= set(known):
            return known
        expected = f"hold only classes that have a score column, {list(called)}"
        do = "Names are matched: rename the class or its score column."
        raise DataError(say(f"column {label}", expected, sorted(found - set(known)), do))
    return None


def _bare(called: Sequence[str], found: set[str]) -> list[str] | None:
    """Return the names within "p_cat", "p_dog" that the label column holds too."""
    for name in sorted(found, key=len, reverse=True):
        for column in called:
            before, inside, behind = column.partition(name)
            fits = all(
                c.startswith(before) and c.endswith(behind) and len(c) > len(before) + len(behind)
                for c in called
            )
            if inside and fits and (before or behind):
                return [c[len(before) : len(c) - len(behind)] for c in called]
    return None


def _in_rule_order(truth: Labels, names: Sequence[str]) -> Labels:
    """Return labels named and ordered as in the rule."""
    if set(truth.names) == set(names):
        return truth.in_order(names)
    if len(truth.names) == len(names) and not set(truth.names) & set(names):
        order = _by_affix(truth.names, names)
        how = "by what their names share" if order else "by position, for no name agrees"
        order = order or list(range(len(names)))
        pairs = ", ".join(f"{truth.names[i]} for {n}" for i, n in zip(order, names, strict=True))
        _warn(f"label columns are matched {how}: {pairs}", len(names))
        return replace(truth.in_order([truth.names[i] for i in order]), names=tuple(names))
    raise DataError(say("labels", f"be {list(names)}, as in the rule", list(truth.names)))
