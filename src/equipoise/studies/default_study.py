"""The study that a table gets by default: for `compare` and `mine`, and commented for `init`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from equipoise._core.words import Argument, Message, hint, say
from equipoise.artifacts import Labels
from equipoise.errors import UsageError
from equipoise.methods import THRESHOLDS, methods_for
from equipoise.studies.load import load_data
from equipoise.studies.schema import (
    Study,
    TableData,
    load_study,
    parse_study,
    read_relative,
    set_value,
)

# Features times labels up to which logistic regressions take seconds.
_QUICK_TO_FIT = 30_000_000
# Quick ones that every table can bear.
DEFAULT_REFERENCES = ("prevalence", "logistic_regression")
_REFERENCES = {
    "prevalence": "the training shares, for every row alike.",
    "logistic_regression": "on the same features.",
    "nearest_neighbours": "shares among the 15 nearest training rows.",
}


def table_spec(
    table: str | Path,
    label: str | None,
    labels: str | None,
    delimiter: str,
    kind: str | None,
    id_column: str | None,
    group: str | None,
    coding: Mapping[str, Sequence[str] | None] | None = None,
) -> TableData:
    """Return the data part of a study from command-line words."""
    data: dict[str, Any] = {
        "path": str(table),
        "label": label,
        "labels": None if labels is None else [p.strip() for p in labels.split(",")],
        "delimiter": delimiter,
        "kind": kind,
        "id": id_column,
        "group": group,
        **{key: list(tokens) for key, tokens in (coding or {}).items() if tokens},
    }
    data = {k: v for k, v in data.items() if v is not None}
    spec = parse_study({"data": data, "arms": ["none"]}, "options").data
    if not isinstance(spec, TableData):
        raise TypeError(type(spec).__name__)
    return spec


_STUDY_OR_TABLE = hint("be a study (.yaml), or come with {label=}")


def _in_the_study(*names: str) -> Message:
    """Return why arguments that describe a table do not go with a study."""
    first: list[str | Argument] = []
    for name in names:
        first += [Argument(name, quoted=True), ", "]
    return Message(
        *first, "and how labels are coded, describe a table; a study names them under `data:`. "
        "Change them there, or with ", Argument("assignments", "data.label=y"), ".",
    )  # fmt: skip


def study_from(
    source: Path,
    label: str | None,
    labels: str | None,
    delimiter: str,
    kind: str | None,
    id_column: str | None,
    group: str | None,
    test: Path | None,
    assignments: Sequence[str] | None,
    coding: Mapping[str, Sequence[str] | None] | None = None,
) -> Study:
    """Return the study of a YAML file, or the default study of a feature table."""
    if source.suffix in (".yaml", ".yml"):
        described = (label, labels, kind, id_column, group, test)
        if any(v is not None for v in described) or any((coding or {}).values()):
            raise UsageError(_in_the_study("label", "labels", "kind", "id_column", "group", "test"))
        return load_study(source, tuple(assignments or ()))
    if label is None and labels is None:
        do = hint("Name the label column: {label=y}, or {labels=A,B,C}.")
        raise UsageError(say(str(source), _STUDY_OR_TABLE, "neither", do))
    spec = table_spec(source, label, labels, delimiter, kind, id_column, group, coding)
    data = spec.model_dump(exclude_none=True)
    if test is not None:
        data["test_path"] = str(test)
    draft = parse_study({"data": data, "arms": ["none"]}, str(source))
    loaded = load_data(draft)
    found = loaded.labels
    chosen = [m.name for m in methods_for(found.kind) if m.first_choice and m.name != "none"]
    small = loaded.features.size * found.num_classes <= _QUICK_TO_FIT
    arms = ["none", THRESHOLDS, *chosen, *DEFAULT_REFERENCES[: None if small else 1]]
    content = {"title": source.stem, "data": data, "arms": arms}
    for assignment in assignments or ():
        set_value(content, assignment)
    return parse_study(yaml.safe_load(yaml.safe_dump(content)), str(source))


def mine_study_from(
    source: Path,
    *,
    label: str | None = None,
    labels: str | None = None,
    id_column: str | None = None,
    group: str | None = None,
    negative: str | None = None,
    ratio: float | None = None,
    assignments: Sequence[str] | None = None,
) -> Study:
    """Return the study of a YAML file, or the default study of a feature table.

    Args:
        source: A study (.yaml), or a CSV or Parquet table.
        label: Of a table: column of the label or class.
        labels: Of a table: column of one binary label.
        id_column: Of a table: column of row ids.
        group: Of a table: column of groups.
        negative: Class whose rows are the negatives, in place of the study's.
        ratio: First negatives per positive, in place of the study's.
        assignments: ``a.b=c``, each.

    Raises:
        UsageError: a study that is wrong, options of a table beside a study, or no label.
    """
    changes = list(assignments or ())
    if ratio is not None:
        changes.append(f"mining.ratio={ratio}")
    columns = {"label": label, "labels": labels, "id": id_column, "group": group}
    named = {key: value for key, value in columns.items() if value is not None}
    if source.suffix in (".yaml", ".yml"):
        if named:
            raise UsageError(_in_the_study("label", "labels", "id_column", "group"))
        content = read_relative(source, tuple(changes))
    else:
        if label is None and labels is None:
            do = hint("Name the label column: {label=y}.")
            raise UsageError(say(str(source), _STUDY_OR_TABLE, "neither", do))
        if labels is not None:
            named["labels"] = labels.split(",")  # type: ignore[assignment]
        data = {"source": "table", "path": str(source), **named}
        training = {"lr": 2e-3, "weight_decay": 0.01}  # as `equipoise compare` trains tables
        content = {"title": source.stem, "data": data, "model": "mlp", "training": training}
        for change in changes:
            set_value(content, change)
        content = yaml.safe_load(yaml.safe_dump(content))
    if negative is not None and isinstance(content, dict):
        content["negative"] = negative
    return parse_study(content, str(source), verb="mine")


def study_template(spec: TableData, labels: Labels, n_features: int, out: Path) -> str:
    """Return a study as commented YAML; paths are written as seen from its folder."""
    path = os.path.relpath(spec.path, out.parent)
    lines = [f"path: {_scalar(Path(path).as_posix())}"]
    for key in ("label", "labels", "id", "group", "positive", "negative", "unknown", "empty_token"):
        value = getattr(spec, key)
        if value is not None:
            lines.append(f"{key}: {_scalar(value)}")
    if spec.delimiter != "|":
        lines.append(f"delimiter: {_scalar(spec.delimiter)}")
    if spec.kind is not None:
        lines.append(f"kind: {spec.kind}")
    data = "\n".join(f"  {line}" for line in lines)
    arms = [f"  - {THRESHOLDS:<28}# always compared, listed or not"]
    for method in (m for m in methods_for(labels.kind) if m.screens):
        settings = ", ".join(f"{k}={v}" for k, v in method.settings.items())
        remark = method.summary + (f" Settings: {settings}." if settings else "")
        line = f"  - {method.name:<28}" if method.first_choice else f"  # - {method.name:<26}"
        arms.insert(0 if method.name == "none" else len(arms), f"{line}# {remark}")
    for name, words in _REFERENCES.items():
        first = "  - " if name in DEFAULT_REFERENCES else "  # - "
        arms.append(f"{first + name:<32}# Reference, no remedy: {words}")
    labelled = "labels" if labels.kind == "multilabel" else "classes"
    uniform = labels.kind == "multiclass"
    objective = (
        "f1             # or f2, f0.5: what thresholds maximise, on validation rows"
        if labels.kind == "multilabel"
        else "balanced_accuracy  # or accuracy: what the rule is tuned for, on validation rows"
    )
    prior = (
        "uniform: every class counts the same; or one share each" if uniform else "one share each"
    )
    return f"""\
# {len(labels)} rows, {n_features} features, {labels.num_classes} {labelled}.
# Run: equipoise compare {out.name}
title: {_scalar(Path(spec.path).stem)}

data:
{data}
  # test_path: test.csv     # a table of its own for the test rows; else split.test is drawn

split:
  how: stratified           # groups, where given, stay whole
  val: 0.2                  # redrawn by every seed
  test: 0.2                 # drawn once, touched once
  seed: 0

arms:
{chr(10).join(arms)}
  # a method twice, with settings:
  # - {{method: focal, name: focal_1, settings: {{gamma: 1.0}}}}

seeds: 5                    # 5 to look, 10 to claim

training:                   # the same budget for every arm
  hidden: 64                # width of one hidden layer; 0 for a linear model
  batch_size: 64
  # epochs: 50              # else enough for 2,000 optimizer steps, at least 20
  lr: 0.002
  weight_decay: 0.01

# tuning:                   # equally many settings for every arm, chosen on validation rows
#   lr: [0.0005, 0.002, 0.008]
#   weight_decay: [0.01, 1.0]
#   settings: 4             # drawn from lr x weight_decay x the arm's own `grid: {{gamma: [1, 2]}}`

# compute:
#   device: auto            # or cpu, cuda
#   threads: 2              # else as torch finds them; part of a trial, as rounding depends on it

comparison:
  objective: {objective}
  target_prior: validation  # or {prior}
  rope: 0.01                # differences within +-0.01 are practically equal
"""


def _scalar(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, allow_unicode=True).splitlines()[0]
