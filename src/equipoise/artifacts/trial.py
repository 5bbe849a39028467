"""A trial: one method, one setting, one seed; its folder is named by the hash of its config."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equipoise._core.cells import csv_text, plain_cell
from equipoise._core.documents import parse_json_lines, read_text
from equipoise._core.files import commit, set_aside, write_text
from equipoise._core.fingerprint import fingerprint_config
from equipoise.artifacts._io import as_declared, plain, read_json, reading, restore, write_json
from equipoise.artifacts.scores import Scores
from equipoise.errors import DataError, SchemaVersionError

_SCHEMA, _VERSION = "equipoise.Trial", 1


def trial_folder(method: str, seed: int, config: Mapping[str, Any]) -> str:
    """Return method (letters that no path allows replaced), seed and the hash of the config."""
    name = re.sub(r"[^\w.+=-]+", "_", method)
    return f"{name}-s{seed}-{fingerprint_config(plain(config))}"


@dataclass(frozen=True, slots=True)
class Trial:
    """What came out of training once.

    Args:
        method: Name of the method, as in the catalogue.
        seed: Redraws the train/validation partition, the initialisation and the order of data.
        config: Everything that decides the outcome; its hash names the folder.
        n_train: Training rows.
        n_val: Validation rows.
        train_counts: Label -> training rows of the class, or positives of the label.
        histogram: Label -> how often it was drawn in training, as realised.
        history: One mapping per epoch; NaN is kept as null on disk and comes back as NaN.
        scores: "val" and "test" Scores of the chosen epoch.
        selection: The validation metric, the chosen epoch and its value, and the last epoch's.
        model_file: Weights beside the record, or None.
        label_history: One mapping per epoch and label: "epoch", "label", "drawn" (how often it
            was drawn in training) and "recall" (on validation, where outputs above 0, or the
            largest, decide).
    """

    method: str
    seed: int
    config: Mapping[str, Any]
    n_train: int
    n_val: int
    train_counts: Mapping[str, int]
    histogram: Mapping[str, int]
    history: Sequence[Mapping[str, Any]]
    scores: Mapping[str, Scores]
    selection: Mapping[str, Any] = field(default_factory=dict)
    model_file: str | None = None
    label_history: Sequence[Mapping[str, Any]] = ()

    @property
    def fold(self) -> int | None:
        """Which fold its test rows are, where every row is tested by cross-fitting; else None."""
        found = self.config.get("fold")
        return found if isinstance(found, int) else None

    @property
    def folder_name(self) -> str:
        """What :func:`trial_folder` makes of method, seed and config."""
        return trial_folder(self.method, self.seed, self.config)

    def save(self, root: str | Path) -> Path:
        """Write the trial's folder under ``root``; trial.json comes last and marks it finished."""
        folder = Path(root) / self.folder_name
        folder.mkdir(parents=True, exist_ok=True)
        for part, scores in self.scores.items():
            scores.save(folder / f"{part}.parquet")
        rows = [plain(row) for row in self.history]
        write_text(folder / "history.csv", _to_csv(rows))
        write_text(folder / "history.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        if self.label_history:
            per_label = [plain(row) for row in self.label_history]
            write_text(folder / "label_history.csv", _to_csv(per_label))
        body = {
            "method": self.method,
            "seed": self.seed,
            "config": self.config,
            "n_train": self.n_train,
            "n_val": self.n_val,
            "train_counts": self.train_counts,
            "histogram": self.histogram,
            "parts": sorted(self.scores),
            "selection": self.selection,
            "model_file": self.model_file,
        }
        write_json(folder / "trial.json", _SCHEMA, _VERSION, body, commit)
        return folder

    @classmethod
    def finished(cls, folder: str | Path) -> Trial | None:
        """Return the trial of a folder, or None where there is none, or none that can be read.

        A folder that was damaged is renamed, so that its trial is made again.

        Raises:
            SchemaVersionError: it was written by another version of the package.

        Warns:
            DataWarning: a folder that was set aside.
        """
        if not (Path(folder) / "trial.json").exists():
            return None
        try:
            return cls.load(folder)
        except SchemaVersionError:
            raise
        except DataError as error:
            set_aside(folder, str(error))
            return None

    @classmethod
    def load(cls, folder: str | Path) -> Trial:
        """Read what :meth:`save` wrote."""
        folder = Path(folder)
        body = read_json(folder / "trial.json", _SCHEMA, _VERSION)
        with reading(folder, _SCHEMA):
            rows = parse_json_lines(read_text(folder / "history.jsonl"))
            parts = body.pop("parts")
            made = cls(
                history=[{key: restore(value) for key, value in row.items()} for row in rows],
                label_history=_read_label_history(folder / "label_history.csv"),
                scores={part: Scores.load(folder / f"{part}.parquet") for part in parts},
                **{k: v for k, v in body.items() if k not in ("schema", "version")},
            )
            return as_declared(made)


def _to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return csv_text(keys, ([row.get(key) for key in keys] for row in rows))


def _read_label_history(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        return [
            {
                "epoch": int(row["epoch"]),
                "label": plain_cell(row["label"]),
                "drawn": int(row["drawn"]),
                "recall": float(row["recall"] or "nan"),
            }
            for row in csv.DictReader(lines)
        ]
