"""Every bad input gets an error that names, expects, says what came and what to do."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import artifact_samples
import numpy as np
import pytest

import equipoise as eq
from equipoise.artifacts import Correction, Finding, Labels, Scores, Split
from equipoise.errors import (
    DataError,
    EquipoiseError,
    LeakageError,
    NotRecoverableError,
    ShapeError,
    UsageError,
)

FORM = re.compile(r"^`[^`]+` must .+, got .+\. .+[.?]$", re.DOTALL)
HOT = np.array([[1, 0], [0, 1], [0, 0]])
MULTI = Labels.from_array(HOT, kind="multilabel", ids=["a", "b", "c"])
CLASSES = Labels.from_array([0, 1, 2], kind="multiclass")
Z = np.array([[0.5, -2.0], [3.0, 1.0], [0.0, 0.1]])


def multilabel(values: object, **extra: object) -> Labels:
    return Labels.from_array(values, kind="multilabel", **extra)  # type: ignore[arg-type]


def multiclass(values: object, **extra: object) -> Labels:
    return Labels.from_array(values, kind="multiclass", **extra)  # type: ignore[arg-type]


def scored(labels: Labels | None = MULTI, split: str = "val", **extra: object) -> Scores:
    return Scores.from_arrays(labels, split=split, **extra)  # type: ignore[arg-type]


def parts(train: object, val: object, test: object) -> Split:
    return Split.from_parts(train, val, test, n_rows=5, seed=0, method="m")  # type: ignore[arg-type]


CASES: dict[str, tuple[Callable[[], object], type[EquipoiseError], str]] = {
    "label 2": (lambda: multilabel([[2, 0]]), DataError, "got 2 in row 0, column 0"),
    "label fraction": (lambda: multilabel([[0.5, 0]]), DataError, "got 0.5 in row 0, column 0"),
    "label text": (lambda: multilabel([["yes"]]), DataError, "dtype"),
    "class fraction": (lambda: multiclass([0.5, 1]), DataError, "fractions or NaN"),
    "class NaN": (lambda: multiclass([np.nan, 1]), DataError, "fractions or NaN"),
    "class huge": (lambda: multiclass([1e300, 1]), DataError, "fractions or NaN"),
    "class negative": (lambda: multiclass([-1, 1]), DataError, "class indices >= 0"),
    "class text": (lambda: multiclass(["a", "b"]), DataError, "class indices"),
    "class two-dimensional": (lambda: multiclass([[0, 1]]), ShapeError, "1 dimension"),
    "class id of a database": (lambda: multiclass([0, 10**9]), DataError, "below 100000"),
    "one class only": (lambda: multiclass([0, 0]), DataError, "at least two classes"),
    "one name only": (lambda: multiclass([0, 0], names=["a"]), DataError, "at least two classes"),
    "class above names": (lambda: multiclass([0, 5], names=["a", "b"]), DataError, "below"),
    "ragged rows": (lambda: multilabel([[1, 0], [1]]), ShapeError, "rows of different length"),
    "no rows": (lambda: multilabel(np.zeros((0, 2))), DataError, "at least one row"),
    "names twice": (lambda: multilabel(HOT, names=["a", "a"]), DataError, "'a' twice"),
    "names too few": (lambda: multilabel(HOT, names=["a"]), ShapeError, "one entry per label = 2"),
    "ids twice": (lambda: multilabel(HOT, ids=[1, 1, 2]), DataError, "1 duplicates"),
    "ids too few": (lambda: multilabel(HOT, ids=[1]), ShapeError, r"shape \(3\)"),
    "ids missing": (lambda: multilabel(HOT, ids=["a", None, "b"]), DataError, "missing values"),
    "ids NaN": (lambda: multilabel(HOT, ids=[1, 2, np.nan]), DataError, "missing values"),
    "ids fractions": (lambda: multilabel(HOT, ids=[1, 2, 2.5]), DataError, "fractions"),
    "groups missing": (lambda: multilabel(HOT, groups=[None, 1, 1]), DataError, "missing values"),
    "kind misspelt": (lambda: Labels.from_array([1], kind="multilable"), UsageError, "multilabel"),  # type: ignore[arg-type]
    "scores NaN": (lambda: scored(logits=np.where(Z > 2, np.nan, Z)), DataError, "1 NaN or inf"),
    "scores inf": (lambda: scored(logits=np.where(Z > 2, np.inf, Z)), DataError, "row 1, column 0"),
    "probability above 1": (lambda: scored(probabilities=Z), DataError, r"lie in \[0, 1\]"),
    "probabilities as logits": (
        lambda: scored(None, logits=np.full((20, 2), 0.5), kind="multilabel"),
        DataError,
        "look like probabilities",
    ),
    "probabilities of classes": (
        lambda: scored(CLASSES, probabilities=np.full((3, 3), 0.5)),
        DataError,
        "sum to 1",
    ),
    "scores too few rows": (lambda: scored(logits=Z[:2]), ShapeError, r"\(3, 2\), got \(2, 2\)"),
    "scores too many columns": (lambda: scored(CLASSES, logits=Z), ShapeError, r"\(3, 3\)"),
    "scores as text": (lambda: scored(logits=[["a", "b"]] * 3), DataError, "be numbers"),
    "scores empty": (
        lambda: scored(None, logits=np.zeros((0, 2)), kind="multilabel"),
        DataError,
        "at least one row",
    ),
    "two kinds of scores": (lambda: scored(logits=Z, ranking=Z), UsageError, "2 of them"),
    "no kind of scores": (lambda: scored(), UsageError, "0 of them"),
    "part misspelt": (lambda: scored(split="valid", logits=Z), UsageError, "Did you mean `val`"),
    "no labels, no kind": (lambda: scored(None, logits=Z), UsageError, "be given"),
    "no labels, wrong kind": (lambda: scored(None, logits=Z, kind="x"), UsageError, "be one of"),
    "kind against labels": (lambda: scored(logits=Z, kind="multiclass"), DataError, "the labels"),
    "names against labels": (lambda: scored(logits=Z, names=["x", "y"]), DataError, "the labels"),
    "names against columns": (
        lambda: scored(None, logits=Z, kind="multilabel", names=["x"]),
        ShapeError,
        "2 different names",
    ),
    "ids against labels": (
        lambda: scored(logits=Z, ids=["a", "c", "b"]),
        DataError,
        "'c' for 'b' in row 1",
    ),
    "correction of another kind": (
        lambda: scored(logits=Z, correction=Correction.identity("multiclass")),
        DataError,
        "correction.kind",
    ),
    "split overlaps": (lambda: parts([0, 1], [1], []), LeakageError, "1 rows more than once"),
    "split outside": (lambda: parts([0, 9], [1], []), DataError, r"\[0, 5\), got 0..9"),
    "split as mask": (lambda: parts([True, False], [], []), DataError, "np.flatnonzero"),
    "split fractions": (lambda: parts([0.5], [], []), DataError, "integer row positions"),
    "unknown op": (
        lambda: Correction("multilabel", ({"op": "exec"},)),
        DataError,
        "use only focal, ldam, monotone_table, offset, poly, scale, unmix",
    ),
    "offset NaN": (
        lambda: Correction("multilabel", ({"op": "offset", "offset": [np.nan]},)),
        DataError,
        "finite `offset`",
    ),
    "focal without gamma": (
        lambda: Correction("multilabel", ({"op": "focal"},)),
        DataError,
        "`gamma` >= 0",
    ),
    "falling table": (
        lambda: Correction(
            "multilabel",
            ({"op": "monotone_table", "tables": [{"logit": [0, 1], "log_odds": [1, 0]}]},),
        ),
        DataError,
        "never falling",
    ),
    "table for classes": (
        lambda: Correction(
            "multiclass",
            ({"op": "monotone_table", "tables": [{"logit": [0, 1], "log_odds": [0, 1]}]},),
        ),
        UsageError,
        "labels alone",
    ),
    "range reversed": (
        lambda: Correction("multilabel", valid_range=(0.9, 0.1)),
        DataError,
        "low < high",
    ),
    "corrections of two kinds": (
        lambda: Correction.identity("multilabel").then(Correction.identity("multiclass")),
        UsageError,
        "later.kind",
    ),
    "rule for other columns": (
        lambda: artifact_samples.rule().apply(scored(logits=Z)),
        DataError,
        "with columns",
    ),
    "rule for another kind of scores": (
        lambda: artifact_samples.rule().apply(
            scored(artifact_samples.labels(), ranking=np.zeros((4, 3)))
        ),
        DataError,
        "logits or probabilities",
    ),
    "rule for another correction": (
        lambda: artifact_samples.rule().apply(
            dataclasses.replace(
                artifact_samples.scores(), correction=Correction.identity("multilabel")
            )
        ),
        DataError,
        "carry the correction",
    ),
    "rule with NaN threshold": (
        lambda: dataclasses.replace(artifact_samples.rule(), thresholds=np.full(3, np.nan)),
        DataError,
        "inf never flags",
    ),
    "rule without thresholds": (
        lambda: dataclasses.replace(artifact_samples.rule(), thresholds=None),
        DataError,
        "only for labels",
    ),
    "rule of another length": (
        lambda: dataclasses.replace(artifact_samples.rule(), prior_shift=np.zeros(2)),
        ShapeError,
        "prior_shift",
    ),
    "severity misspelt": (lambda: Finding("EQ101", "warn", "t", "m"), UsageError, "warning"),  # type: ignore[arg-type]
    "code misspelt": (lambda: Finding("EQ01", "tip", "t", "m"), UsageError, "three digits"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_answered_in_one_form(case: str) -> None:
    call, error, text = CASES[case]
    with pytest.raises(EquipoiseError, match=text) as caught:
        call()
    assert type(caught.value) is error
    assert FORM.match(str(caught.value)), str(caught.value)


def test_what_only_ranks_has_no_log_odds() -> None:
    with pytest.raises(NotRecoverableError, match="'ranking' carry no probability"):
        scored(ranking=Z).log_odds()
    lost = Correction("multilabel", exactness="none")
    with pytest.raises(NotRecoverableError, match="rank but carry no probability"):
        scored(logits=Z, correction=lost).log_odds()
    assert not scored(logits=Z, correction=lost).has_probabilities


def test_good_input_is_let_through() -> None:
    assert multiclass([0, 0], names=["a", "b"]).counts.tolist() == [2, 0]
    assert multilabel([1, 0, np.nan]).values.ravel().tolist() == [1, 0, -1]
    assert multilabel([True, False]).values.dtype == np.int8
    exempt = scored(
        None, logits=np.full((20, 2), 0.5), kind="multilabel", check_kind=False, split="new"
    )
    assert exempt.score_kind == "logits"
    rounded = scored(probabilities=np.full((3, 2), np.float64(np.float32(1.0)) + 1e-7))
    assert rounded.values.max() == 1.0


def test_ids_of_scores_and_labels_become_one() -> None:
    bare = Labels.from_array(HOT, kind="multilabel")
    assert scored(bare, logits=Z, ids=[3, 4, 5]).labels.ids.tolist() == ["3", "4", "5"]  # type: ignore[union-attr]
    assert scored(MULTI, logits=Z).ids.tolist() == ["a", "b", "c"]  # type: ignore[union-attr]
    numbered = Labels.from_array(HOT, kind="multilabel", ids=[3, 4, 5])
    assert scored(numbered, logits=Z, ids=["3", "4", "5"]).ids.tolist() == ["3", "4", "5"]  # type: ignore[union-attr]
    with pytest.raises(DataError, match="carry labels"):
        scored(None, logits=Z, kind="multilabel").require_labels()


@pytest.mark.parametrize(
    "call",
    [
        lambda: eq.stratified_split(HOT),
        lambda: eq.stratified_kfold(HOT),
        lambda: eq.remedy("pos_weight", HOT),
        lambda: Scores.from_arrays(HOT, logits=Z, split="val"),  # type: ignore[arg-type]
    ],
)
def test_arrays_are_no_labels(call: Callable[[], object]) -> None:
    with pytest.raises(UsageError, match=r"`labels` must be Labels, got ndarray. Make them first"):
        call()
