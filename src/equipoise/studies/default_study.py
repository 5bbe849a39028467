"""The study that a table gets by default: for `compare` and `mine`, and commented for `init`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from equipoise._core.messages import Argument, Message, hint, say
from equipoise.artifacts import Labels
from equipoise.boosting import Coded
from equipoise.boosting.families import FAMILIES
from equipoise.errors import DataWarning, UsageError
from equipoise.methods import THRESHOLDS, methods_for
from equipoise.studies.families import installed_models
from equipoise.studies.load import read_coded
from equipoise.studies.schema import (
    HEAD,
    Study,
    TableData,
    load_study,
    parse_study,
    read_relative,
    set_value,
)

# Numbers of a table times labels up to which all kinds of models are compared by default.
_QUICK_TO_FIT = 20_000_000
SIDE = 32  # pixels, what networks of ours are made for
# Quick ones that every table can bear.
DEFAULT_REFERENCES = ("prevalence",)
_REFERENCES = {
    "prevalence": "the training shares, for every row alike.",
    "nearest_neighbours": "shares among the 15 nearest training rows.",
}


def table_data(table: str | Path, described: Mapping[str, Any]) -> TableData:
    """Return the data part of a study of a table.

    Args:
        table: CSV or Parquet.
        described: Its labels, ids and groups, under the keys of a study.
    """
    content = {"data": {"path": str(table), **described}, "arms": ["none"]}
    spec = parse_study(content, "options").data
    if not isinstance(spec, TableData):
        raise TypeError(type(spec).__name__)
    return spec


def is_images(source: str | Path, image: str | None) -> bool:
    """Whether a source is images: a folder, or a table of which a column is said to hold paths."""
    return image is not None or Path(source).is_dir()


def image_study(
    source: str | Path,
    described: Mapping[str, Any],
    image: str | None,
    assignments: Sequence[str] = (),
) -> tuple[Study, Labels]:
    """Return the default comparison of images, and their labels.

    Args:
        source: A folder with a folder of images for each class, or a CSV or Parquet table.
        described: Of a table: its labels, ids, groups and test table, under the keys of a study.
        image: Column of paths; None for a folder.
        assignments: Changes, ``a.b=c`` each.

    Raises:
        UsageError: words of a table beside a folder, or a table without a label.
        DataError: no images, or other than the words say.
    """
    path = Path(source)
    if path.is_dir():
        called = [] if image is None else ["image"]
        if rest := sorted({*described, *called} - {"test_path"}):
            do = "The folders' names are the classes."
            raise UsageError(say(" and ".join(rest), "not be given for a folder", rest, do))
        data: dict[str, Any] = {"source": "image_folder"}
    else:
        if not {"label", "labels"} & set(described):
            raise UsageError(
                say(str(source), hint("come with {label=}"), "none", hint("Name it: {label=y}."))
            )
        data = {"source": "images", "image": image}
    data |= {"path": str(source), "size": SIDE, **described}
    from equipoise.studies.network_rows import load_rows  # late: a table needs no torch

    bare = {"data": dict(data), "model": "resnet32", "arms": ["none"]}
    # Those of the data say how they are read: what is broken may be left out.
    bare = _changed(bare, [a for a in assignments if a.startswith("data.")])
    labels = load_rows(parse_study(bare, str(source)).data).labels
    assert labels is not None  # noqa: S101  # a study of rows without labels is refused above
    chosen = [m.name for m in methods_for(labels.kind) if m.first_choice and m.name != "none"]
    content = {
        "title": path.stem,
        "data": data,
        "model": "resnet32",
        "arms": ["none", THRESHOLDS, *chosen],
        "seeds": 3,
        "training": {"epochs": 30},
    }
    return parse_study(_changed(content, assignments), str(source)), labels


def _require_either(source: Path, described: Mapping[str, Any], do: Message) -> bool:
    """Return whether the source is a study, or raise where words are missing or in vain."""
    if source.suffix not in (".yaml", ".yml"):
        if not {"label", "labels"} & set(described):
            expected = hint("be a study (.yaml), or come with {label=}")
            raise UsageError(say(str(source), expected, "neither", do))
        return False
    called = {"id": "id_column", "test_path": "test"}
    words: list[str | Argument] = []
    for key in described:
        words += [", ", Argument(called.get(key, key), quoted=True)]
    if words:
        why = hint(
            " of a table cannot be given beside a study, which names them under `data:`. Change "
            "them there, or with {assignments=data.label=y}."
        )
        raise UsageError(Message(*words[1:], why))
    return True


def study_from(
    source: Path,
    described: Mapping[str, Any],
    assignments: Sequence[str] | None = None,
    *,
    image: str | None = None,
) -> Study:
    """Return the study of a YAML file, or the default comparison of a feature table or images.

    Args:
        source: A study (.yaml), a CSV or Parquet table, or a folder of class folders of images.
        described: Of a table: its labels, ids, groups and test table, under the keys of a study.
        assignments: ``a.b=c``, each.
        image: Of a table: its column of image paths, which makes it one of images.

    Raises:
        UsageError: a study that is wrong, or words of a table beside a study, or no label.
    """
    if is_images(source, image):
        return image_study(source, described, image, assignments or ())[0]
    do = hint("Name the label column: {label=y}, or {labels=A,B,C}.")
    if _require_either(source, described, do):
        return load_study(source, tuple(assignments or ()))
    spec = table_data(source, described)
    coded, found = read_coded(spec)
    data = spec.model_dump(exclude_defaults=True)
    models, left = default_models(coded, found)
    if left:
        warnings.warn(
            f"{' and '.join(left)} are left out, as they would take long on {len(found)} rows x "
            f"{coded.values.shape[1]} columns x {found.num_classes} labels. Name them to compare "
            "them: models: [...] in a study.",
            DataWarning,
            stacklevel=2,
        )
    chosen = [m.name for m in methods_for(found.kind) if m.first_choice and m.name != "none"]
    arms = ["none", THRESHOLDS, *chosen, *DEFAULT_REFERENCES]
    content = {"title": source.stem, "data": {"source": "table", **data}, "models": models,
               "arms": arms, "seeds": "auto"}  # fmt: skip
    return parse_study(_changed(content, assignments or ()), str(source))


def default_models(coded: Coded, labels: Labels) -> tuple[list[str], list[str]]:
    """Return the kinds of models of a table by default, and those that would take long."""
    models = installed_models()
    # Classes are one model each, labels one for each label.
    width = labels.num_classes if labels.kind == "multilabel" else 1
    if coded.values.size * width <= _QUICK_TO_FIT or len(models) == 1:
        return models, []
    kept = [m for m in models if m == (HEAD if HEAD in models and width > 5 else models[0])]
    return kept, [m for m in models if m not in kept]


def mine_study_from(
    source: Path,
    described: Mapping[str, Any],
    *,
    negative: str | None = None,
    ratio: float | None = None,
    assignments: Sequence[str] | None = None,
) -> Study:
    """Return the study of a YAML file, or the default mining of a feature table.

    Args:
        source: A study (.yaml), or a CSV or Parquet table.
        described: Of a table: its label, ids and groups, under the keys of a study.
        negative: Class whose rows are the negatives, in place of the study's.
        ratio: First negatives per positive, in place of the study's.
        assignments: ``a.b=c``, each.

    Raises:
        UsageError: a study that is wrong, words of a table beside a study, or no label.
    """
    changes = list(assignments or ())
    if ratio is not None:
        changes.append(f"mining.ratio={ratio}")
    if _require_either(source, described, hint("Name the label column: {label=y}.")):
        content = read_relative(source, tuple(changes))
    else:
        data = {"source": "table", "path": str(source), **described}
        training = {"lr": 2e-3, "weight_decay": 0.01}  # as `equipoise compare` trains tables
        content = {"title": source.stem, "data": data, "model": "mlp", "training": training}
        content = _changed(content, changes)
    if negative is not None and isinstance(content, dict):
        content["negative"] = negative
    return parse_study(content, str(source), verb="mine")


def _changed(content: dict[str, Any], assignments: Sequence[str]) -> Any:
    """Return the content with changes applied, as if it had been read from a file."""
    for assignment in assignments:
        set_value(content, assignment)
    return yaml.safe_load(yaml.safe_dump(content))


def image_template(study: Study, labels: Labels, out: Path) -> str:
    """Return a study of images as commented YAML; paths are written as seen from its folder."""
    data = study.data.model_dump(mode="json", exclude_unset=True)
    for key in ("path", "test_path"):
        if key in data:
            data[key] = Path(os.path.relpath(data[key], out.parent)).as_posix()
    first = [key for key in ("source", "path", "image") if key in data]
    keys = [*first, *(key for key in data if key not in first)]
    listed = "\n".join(f"  {key}: {_scalar(data[key])}" for key in keys)
    arms: list[str] = []
    for method in (m for m in methods_for(labels.kind) if not m.needs_table):
        line = f"  - {method.name:<28}" if method.first_choice else f"  # - {method.name:<26}"
        arms.insert(0 if method.name == "none" else len(arms), f"{line}# {method.summary}")
    named = "labels" if labels.kind == "multilabel" else "classes"
    return f"""\
# {len(labels)} images, {labels.num_classes} {named}.
# Plan, with how long it takes: equipoise compare --dry-run {out.name}
# Run: equipoise compare {out.name}
title: {_scalar(study.title)}

data:
{listed}
  # resize: stretch         # or crop, the default; size is the side in pixels after it
  # mode: grey
  # on_broken: leave_out    # else a broken file is an error

split:
  how: stratified           # groups, where given, stay whole
  val: 0.2                  # redrawn by every seed
  test: 0.2                 # drawn once, touched once

model: resnet32             # or vgg16_bn, monai:DenseNet121, timm:NAME, module:callable
augmentation: none          # or cifar, xray, ...: see equipoise.data.Augmentation

arms:
{chr(10).join(arms)}
  - {THRESHOLDS:<28}# always compared, listed or not

seeds: 3                    # 5 to look, 10 to claim

training:                   # the same budget for every arm
  epochs: 30
  # batch_size: 64
  # lr: 0.001               # else the network's own recipe; of foreign networks it is measured

# Far less time: the arms as heads on features of a frozen network, instead of `model:`
# features: {{model: "timm:resnet18", weights: resnet18.safetensors, scale_inputs: imagenet}}
"""


def study_template(spec: TableData, labels: Labels, coded: Coded, out: Path) -> str:
    """Return a study of a table as commented YAML; paths are written as seen from its folder."""
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
    asked = {key: getattr(spec, key) for key in ("drop", "categorical", "time")}
    lines += [f"{key}: {_scalar(names)}" for key, names in asked.items() if names]
    lines += [f"# {line}" for line in coded.lines() if not line.endswith(": number")]
    data = "\n".join(f"  {line}" for line in lines)
    arms = [f"  - {THRESHOLDS:<28}# always compared, listed or not"]
    for method in (m for m in methods_for(labels.kind) if m.screens or m.needs_table):
        settings = ", ".join(f"{k}={v}" for k, v in method.settings.items())
        remark = method.summary + (f" Settings: {settings}." if settings else "")
        line = f"  - {method.name:<28}" if method.first_choice else f"  # - {method.name:<26}"
        arms.insert(0 if method.name == "none" else len(arms), f"{line}# {remark}")
    for name, words in _REFERENCES.items():
        first = "  - " if name in DEFAULT_REFERENCES else "  # - "
        arms.append(f"{first + name:<32}# Reference, no remedy: {words}")
    kept, _ = default_models(coded, labels)
    told = {f.name: f.summary for f in FAMILIES.values() if not f.is_remedy}
    others = [name for name in (*told, HEAD) if name not in kept]
    told[HEAD] = "One hidden layer, as below under `training`: every remedy."
    marks = {name: "- " if name in kept else "# - " for name in (*kept, *others)}
    models = "\n".join(f"  {mark}{name:<26}# {told[name]}" for name, mark in marks.items())
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
# {len(labels)} rows, {len(coded.names)} features, {labels.num_classes} {labelled}.
# Run: equipoise compare {out.name}; then: equipoise refit {out.name} -o model/
title: {_scalar(Path(spec.path).stem)}

data:
{data}
  # test_path: test.csv     # a table of its own for the test rows; then leave out `split`
  # drop: [COLUMN]          # categorical: numbers that are names; time: columns that are dates

models:                     # compared untreated; remedies are judged on the best of them
{models}
# remedies: all             # or on every one that takes them; a model with settings of its own:
# models: [{{name: lightgbm, settings: {{max_depth: 6}}, grid: {{num_leaves: [15, 63]}}}}]

split:                      # groups, where given, stay whole
  how: cross_fit            # every row is tested; or stratified, with val and test; or forward
                            # in time: {{how: time, column: DATE, gap: 7}}
  folds: 5                  # redrawn by every seed
  val: 0.2                  # of a fold's training rows: they choose the epoch and the settings
  seed: 0

arms:
{chr(10).join(arms)}
  # a method twice, with settings:
  # - {{method: focal, name: focal_1, settings: {{gamma: 1.0}}}}

seeds: auto                 # looks after 5, 8, 13, 20 and stops what is settled; or a number

training:                   # of mlp, the same budget for every arm
  hidden: 64                # width of one hidden layer; 0 for a linear model
  batch_size: 64
  # epochs: 50              # else enough for 2,000 optimizer steps, at least 20
  lr: 0.002
  weight_decay: 0.01

# tuning:                   # equally many settings for every arm, chosen on validation rows
#   lr: [0.0005, 0.002, 0.008]
#   weight_decay: [0.01, 1.0]
#   settings: 4             # drawn from lr x weight_decay, or a model's `grid` as above, x the
#                           # arm's own `grid: {{gamma: [1, 2]}}`

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
