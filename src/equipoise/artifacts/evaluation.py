"""An evaluation: estimates per label, macro, micro and by frequency group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equipoise.artifacts._io import plain, read_json, reading, write_json
from equipoise.artifacts.estimate import Estimate
from equipoise.artifacts.labels import Kind

_SCHEMA, _VERSION = "equipoise.Evaluation", 1
Estimates = Mapping[str, Estimate]


def _dump(table: Mapping[str, Estimates]) -> dict[str, dict[str, Any]]:
    return {k: {m: e.to_dict() for m, e in row.items()} for k, row in table.items()}


def _read(table: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Estimate]]:
    return {k: {m: Estimate.from_dict(e) for m, e in row.items()} for k, row in table.items()}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How good a model and its rule are on rows neither has seen.

    Args:
        kind: "multiclass" or "multilabel".
        names: One name per class or label.
        per_label: name -> metric -> Estimate.
        overall: "macro" (over evaluable labels), "micro" and "samples" (mean over rows), or
            "overall" (classes) -> metric -> Estimate.
        groups: "head", "medium", "tail" -> metric -> Estimate, macro within the group.
        n_rows: Rows evaluated.
        n_evaluable: metric -> number of labels in the macro average.
        not_evaluable: name -> why it is left out of ranking metrics.
        overlap: What came of comparing ids, groups and scores with the rows the rule was tuned on:
            of each "fine", "found: ..." or "not made: ..." with the reason.
        evaluated_on: Part and fingerprint of the rows, what the rule was tuned on, the settings
            of region and worth, and how many labels each group holds.
        counts: name -> "tp", "fp", "fn", "tn".
        by: "label_count" -> "0", "1", "2", "3+" true labels of a row -> metric -> Estimate.
    """

    kind: Kind
    names: tuple[str, ...]
    per_label: Mapping[str, Estimates]
    overall: Mapping[str, Estimates]
    groups: Mapping[str, Estimates]
    n_rows: int
    n_evaluable: Mapping[str, int]
    not_evaluable: Mapping[str, str]
    overlap: str
    evaluated_on: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    by: Mapping[str, Mapping[str, Estimates]] = field(default_factory=dict)

    def worst(self, metric: str) -> tuple[str, Estimate] | None:
        """Return the label with the lowest value of a metric; None where no label has one."""
        seen = {n: row[metric] for n, row in self.per_label.items() if not row[metric].is_missing}
        return min(seen.items(), key=lambda item: item[1].value) if seen else None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        body: dict[str, Any] = plain(
            {
                "kind": self.kind,
                "names": self.names,
                "per_label": _dump(self.per_label),
                "overall": _dump(self.overall),
                "groups": _dump(self.groups),
                "n_rows": self.n_rows,
                "n_evaluable": self.n_evaluable,
                "not_evaluable": self.not_evaluable,
                "overlap": self.overlap,
                "evaluated_on": self.evaluated_on,
                "counts": self.counts,
                "by": {k: _dump(table) for k, table in self.by.items()},
            }
        )
        return body

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Evaluation:
        """Read what :meth:`to_dict` wrote."""
        body = {k: v for k, v in fields.items() if k not in ("schema", "version")}
        for name in ("per_label", "overall", "groups"):
            body[name] = _read(body[name])
        body["by"] = {k: _read(table) for k, table in body["by"].items()}
        body["counts"] = dict(body["counts"])
        body["names"] = tuple(body["names"])
        return cls(**body)

    def save(self, path: str | Path) -> Path:
        """Write as JSON."""
        return write_json(path, _SCHEMA, _VERSION, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Evaluation:
        """Read what :meth:`save` wrote."""
        body = read_json(path, _SCHEMA, _VERSION)
        with reading(path, _SCHEMA):
            return cls.from_dict(body)
