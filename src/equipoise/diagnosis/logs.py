"""Training logs of any framework as one row per epoch: CSV, JSONL, JSON, TensorBoard."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from equipoise._core.documents import parse_json, parse_json_lines, read_text
from equipoise._core.messages import say
from equipoise.errors import DataError, MissingExtraError

_LOSS = ("loss", "train_loss", "train/loss", "training_loss", "loss_epoch", "train_loss_epoch",
         "epoch_loss", "loss/train")  # fmt: skip
_VAL_LOSS = ("val_loss", "val/loss", "validation_loss", "valid_loss", "eval_loss",
             "epoch_val_loss", "val_epoch_loss", "loss/val", "loss/validation")  # fmt: skip
_RATE = ("lr", "learning_rate", "epoch_learning_rate", "learning rate")
_BETTER = ("ap", "auprc", "map", "average_precision", "auc", "auroc", "f1", "balanced_accuracy",
           "recall", "acc", "accuracy", "categorical_accuracy")  # fmt: skip


def read_log(path: str | Path) -> tuple[dict[str, float], ...]:
    """Read the log of a training.

    Args:
        path: CSV (Keras' CSVLogger, Lightning's metrics.csv, history.csv of a trial), JSONL, JSON
            (a Keras ``history`` of lists, or a list of rows), or a TensorBoard event file or its
            folder.

    Returns:
        One mapping per epoch with "epoch" and, where the log has them, "loss", "val_loss",
        "val_metric" and "lr". Steps within an epoch are averaged (losses) or the last is taken.

    Raises:
        DataError: no such file, nothing that is a log, or a log without a loss, a rate or a
            validation metric.
        MissingExtraError: an event file without TensorBoard.
    """
    file = Path(path)
    if not file.exists():
        raise DataError(say(str(file), "be a training log", "nothing there"))
    is_events = file.is_dir() or ".tfevents." in file.name
    rows = _events(file) if is_events else _text(file)
    epochs = _by_epoch(rows)
    if not epochs or not any(len(row) > 1 for row in epochs):
        found = sorted({key for row in rows for key in row})[:8]
        do = "Columns like loss, val_loss, val_auc and lr are read."
        raise DataError(say(str(file), "hold a loss, a rate or a validation metric", found, do))
    odd = [_epoch_of(row, place) for place, row in enumerate(rows) if _NO_NUMBER in row]
    broken = min(odd, default=None)
    if broken is not None and not any("loss" in r for r in epochs if r["epoch"] >= broken):
        do = "The training diverged there: lower the learning rate, clip the gradient. Cut the log "
        do += "there to look at what came before."
        got = f"none from epoch {broken:g} on"
        raise DataError(say(str(file), "hold a finite training loss", got, do))
    return tuple(epochs)


def _text(file: Path) -> list[dict[str, float]]:
    try:
        text = read_text(file)
        if file.suffix == ".csv":
            return [_numbers(row) for row in csv.DictReader(text.splitlines())]
        body = parse_json_lines(text) if file.suffix == ".jsonl" else parse_json(text)
    except (ValueError, csv.Error) as error:
        reason = " ".join(str(error).split())[:100]
        raise DataError(say(str(file), "be CSV, JSONL or JSON", reason)) from error
    if isinstance(body, Mapping) and isinstance(body.get("history"), Mapping):
        body = body["history"]
    if isinstance(body, Mapping) and all(isinstance(v, list) for v in body.values()):
        length = max((len(v) for v in body.values()), default=0)
        return [
            _numbers({k: v[i] for k, v in body.items() if i < len(v)} | {"epoch": i})
            for i in range(length)
        ]
    if isinstance(body, list) and all(isinstance(row, Mapping) for row in body):
        return [_numbers(row) for row in body]
    got = type(body).__name__
    if isinstance(body, list):
        at, row = next((i, r) for i, r in enumerate(body) if not isinstance(r, Mapping))
        got = f"{row!r:.60} as row {at}"
    raise DataError(say(str(file), "hold a history of lists, or a list of rows", got))


_NO_NUMBER = "loss that is no number"


def _numbers(row: Mapping[Any, Any]) -> dict[str, float]:
    found = {}
    for key, value in row.items():
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            continue
        if math.isfinite(number):
            found[str(key).strip()] = number
        elif _is(str(key).strip(), _LOSS):
            found[_NO_NUMBER] = 1.0
    return found


def _events(place: Path) -> list[dict[str, float]]:
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from tensorboard.util.tensor_util import make_ndarray
    except (ImportError, RuntimeError) as error:
        raise MissingExtraError("tensorboard", "tensorboard", "Reading event files") from error
    files = [place] if place.is_file() else sorted(place.rglob("*tfevents*"))
    rows: list[dict[str, float]] = []
    for file in files:
        # Keras writes training and validation into folders of their own, under the same tags.
        prefix = "val_" if "validation" in file.parent.name else ""
        log = EventAccumulator(str(file), size_guidance={"scalars": 0, "tensors": 0})
        log.Reload()
        for tag in log.Tags().get("scalars", []):
            rows += [{prefix + tag: e.value, "step": float(e.step)} for e in log.Scalars(tag)]
        # TensorFlow 2 writes numbers as tensors without a dimension.
        for tag in log.Tags().get("tensors", []):
            for e in log.Tensors(tag):
                value = make_ndarray(e.tensor_proto)
                if value.ndim == 0 and value.dtype.kind == "f":
                    rows.append({prefix + tag: float(value), "step": float(e.step)})
    return rows


def _epoch_of(row: Mapping[str, float], place: int) -> float:
    return row.get("epoch", row.get("step", float(place)))


def _by_epoch(rows: Iterable[Mapping[str, float]]) -> list[dict[str, float]]:
    """Merge the rows of an epoch: Lightning writes training and validation apart."""
    merged: dict[float, dict[str, list[float]]] = {}
    for place, row in enumerate(rows):
        epoch = _epoch_of(row, place)
        for key, value in row.items():
            merged.setdefault(epoch, {}).setdefault(key, []).append(value)
    metric = _metric({key for row in merged.values() for key in row})
    found = []
    for epoch in sorted(merged):
        values, row = merged[epoch], {"epoch": epoch}
        for name, keys in (("loss", _LOSS), ("val_loss", _VAL_LOSS), ("lr", _RATE)):
            found_key = next((k for k in values if _is(k, keys)), None)
            if found_key is not None:
                seen = values[found_key]
                row[name] = sum(seen) / len(seen) if name == "loss" else seen[-1]
        if metric is not None and metric in values:
            row["val_metric"] = values[metric][-1]
        found.append(row)
    return found


def _is(key: str, known: tuple[str, ...]) -> bool:
    plain = key.lower()
    return plain in known or (known is _RATE and plain.startswith(("lr-", "lr_")))


def _metric(keys: set[str]) -> str | None:
    """Return the validation metric that says most of the rare side."""
    val = {k: k.lower().replace("/", "_") for k in sorted(keys)}
    val = {k: v for k, v in val.items() if v.startswith(("val", "eval")) and "loss" not in v}
    for word in _BETTER:
        for key, plain in val.items():
            if word in plain.split("_") or plain.endswith(word):
                return key
    return None
