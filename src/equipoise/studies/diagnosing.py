"""What ``equipoise diagnose`` reads and writes: material from files, results in four formats."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Floats
from equipoise._core.files import write_text
from equipoise._core.messages import hint, one_of, say
from equipoise.artifacts import Comparison, DecisionRule, Labels, Split, Trial
from equipoise.artifacts.labels import Kind
from equipoise.diagnosis import CheckResult, Material
from equipoise.diagnosis.class_table import read_class_table
from equipoise.diagnosis.logs import read_log
from equipoise.errors import DataError, UsageError
from equipoise.io.scores import read_scores
from equipoise.report.findings_page import findings_page, findings_sarif
from equipoise.splits.leakage import require_same_rows
from equipoise.studies.set_ups import read_setups

FORMATS = ("text", "json", "sarif", "html")


def read_material(
    labels: Labels | None = None,
    table: Path | None = None,
    *,
    counts: Mapping[str, int] | None = None,
    n_rows: int | None = None,
    kind: Kind | None = None,
    named: Sequence[str | None] = (),
    id_column: str | None = None,
    split: Path | None = None,
    images: str | None = None,
    features: bool = False,
    scores: Path | None = None,
    other: Path | None = None,
    new: Path | None = None,
    rule: Path | None = None,
    comparison: Path | None = None,
    log: Sequence[Path] | None = None,
    setup: Path | None = None,
    classes: Path | None = None,
    support: int | None = None,
) -> Material:
    """Read the files that a diagnosis is asked to look at.

    Args:
        labels: Read already, or None.
        table: Where they came from: a table or a class folder.
        counts: Name -> positives, instead of labels.
        n_rows: Behind ``counts``.
        kind: Of ``counts``.
        named: Columns of ``table`` that are no features.
        id_column: Which of them holds the ids.
        split: Of ``equipoise split``.
        images: Column of image paths in ``table``, to find near-duplicates; class folders need
            none.
        features: Whether other numeric columns of ``table`` are inputs.
        scores, other, new: Score files.
        rule, comparison: JSON files.
        log: Training logs, or folders of trials.
        setup: YAML of set-ups, or a study.
        classes: CSV of recall and precision per class.
        support: Test rows per class, where it does not say.

    Raises:
        DataError: a file that does not hold what it should, or no numeric columns for features.
        UsageError: several logs of other frameworks, labels and counts both, a split without
            labels.
    """
    for name, given, of, beside in (
        ("images", images, "split", split), ("support", support, "classes", classes),
    ):  # fmt: skip
        if given is not None and beside is None:
            raise UsageError(say(name, hint(f"come with {{{of}=}}"), f"{given} alone"))
    parts = None if split is None else Split.load(split)
    if parts is not None and labels is not None:
        require_same_rows(parts, labels, str(split))
    scored = None if scores is None else read_scores(scores)
    known = None if rule is None else DecisionRule.load(rule)
    if known is not None and scored is not None:
        known.align(scored)  # of another model, nothing can be said of both
    second = None if other is None else read_scores(other)
    if second is not None and scored is not None:
        same = set(second.names) == set(scored.names) and len(second) == len(scored)
        if not same:
            got = f"{len(second)} of {', '.join(second.names[:5])}"
            expected = f"be {len(scored)} rows of {', '.join(scored.names[:5])}, as the scores are"
            raise DataError(say("other", expected, got))
    trials = [Trial.load(p) for p in log or () if (p / "trial.json").is_file()]
    rows = [read_log(p) for p in log or () if not (p / "trial.json").is_file()]
    if len(rows) > 1:
        do = "Several trials of `equipoise train` may be given."
        raise UsageError(say("log", "be one log of another framework", len(rows), do))
    return Material(
        labels=labels,
        counts=counts,
        n_rows=n_rows,
        kind=kind,
        split=parts,
        scores=scored,
        trial=trials[0] if len(trials) == 1 else None,
        setups=() if setup is None else read_setups(setup),
        history=rows[0] if rows else (),
        other=second,
        new=None if new is None else read_scores(new, split="new"),
        rule=known,
        comparison=None if comparison is None else Comparison.load(comparison),
        trials=tuple(trials) if len(trials) > 1 else (),
        classes=None if classes is None else read_class_table(classes, support),
        image_hashes=None if parts is None else _hashes(labels, table, images),
        features=_features(table, named) if features else None,
        **_columns(table, named, labels, id_column),
    )


def _columns(
    table: Path | None,
    named: Sequence[str | None],
    labels: Labels | None,
    id_column: str | None,
) -> dict[str, Any]:
    """Return the columns of a table that are no labels and no groups, ids in their order."""
    if table is None or table.is_dir() or labels is None:
        return {}
    from equipoise.boosting import code_table
    from equipoise.boosting.columns import id_order
    from equipoise.io import read_table

    frame = read_table(table)
    rest = [name for name in frame.columns if name not in named]
    ids = {}
    if id_column is not None:
        ids[id_column] = id_order(frame[id_column])
    try:
        coded = code_table(frame.select(rest))
    except DataError:
        return {"ids": ids}  # nothing but ids and constants
    return {"columns": coded.by_name, "ids": {**ids, **coded.ids}}


def _hashes(
    labels: Labels | None, table: Path | None, images: str | None
) -> NDArray[np.uint64] | None:
    """Return perceptual hashes of all rows' images, where it is known which they are."""
    if labels is None or table is None:
        return None
    if table.is_dir() and labels.ids is not None:
        paths = [table / str(i) for i in labels.ids]
    elif images is not None:
        from equipoise.io.tables import read_table, require_columns

        frame = read_table(table)
        require_columns(frame, "images", [images])
        paths = [table.parent / str(p) for p in frame[images].to_list()]
    else:
        return None
    from equipoise.data import image_hashes

    return image_hashes(paths)


def _features(table: Path | None, named: Sequence[str | None]) -> Floats | None:
    """Return the numeric columns that are neither labels, ids nor groups."""
    if table is None or table.is_dir():
        return None
    from equipoise.io import as_numbers, read_table

    frame = as_numbers(read_table(table))
    rest = [c for c in frame.columns if c not in named and frame[c].dtype.is_numeric()]
    if not rest:
        raise DataError(say("features", "find numeric columns beside the labels", "none"))
    return frame.select(rest).to_numpy().astype(np.float64)


def write_results(
    results: Sequence[CheckResult], form: str, subject: str, out: Path | None
) -> str | None:
    """Return results as JSON, SARIF or HTML, or write them to a file; None if written.

    Args:
        results: Of :func:`equipoise.diagnosis.run_checks`.
        form: "json", "sarif" or "html".
        subject: What was looked at.
        out: A file, or None.
    """
    one_of("form", form, FORMATS)
    if form == "html":
        text = findings_page(results, subject)
    elif form == "sarif":
        text = json.dumps(findings_sarif(results, subject), indent=2)
    else:
        rows = [{**asdict(r), "findings": [f.to_dict() for f in r.findings]} for r in results]
        text = json.dumps(rows, indent=2)
    if out is None:
        return text
    write_text(out, text)
    return None
