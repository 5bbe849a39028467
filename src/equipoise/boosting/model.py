"""A model folder: what predicts new rows of a table, with what it needs and no more.

``model.json`` says what stands there; beside it lie the models in their own formats, what was
learned of the columns, and ``rule.json``. Reading it needs no torch, and only the package of its
kind of model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.documents import parse_json, read_text
from equipoise._core.files import atomic_path, write_text
from equipoise._core.messages import say
from equipoise.artifacts import Correction, DecisionRule, Scores
from equipoise.artifacts.labels import Kind
from equipoise.boosting.columns import Coded, Column, columns_from, encode, unknown_entries
from equipoise.boosting.families import get_family, read_skops, write_skops
from equipoise.boosting.preparation import Preparation
from equipoise.errors import DataError, SchemaVersionError
from equipoise.io.tables import read_table, to_table

if TYPE_CHECKING:
    import polars as pl

_SCHEMA, _VERSION = "equipoise.TableModel", 1
_HEADS = "mlp"


@dataclass(frozen=True, eq=False)
class Constant:
    """Stands for a model where a label has one side alone: its share, for every row."""

    value: float
    rounds: int | None = 0

    def outputs(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the same log-odds for every row."""
        return np.full((len(x), 1), self.value)


@dataclass(frozen=True, eq=False)
class HeadWeights:
    """A head on prepared numbers: one linear layer, or a hidden one with ReLU before it.

    Args:
        state: As :class:`equipoise.training.heads.HeadResult` has it.
        cosine: Whether outputs are cosines of rows and weights.
    """

    state: Mapping[str, NDArray[np.floating[Any]]]
    cosine: bool = False
    rounds: int | None = None

    def outputs(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return logits, (N, C), in the precision of the weights."""
        s = self.state
        out = (x.astype(s["mean"].dtype) - s["mean"]) / s["std"]
        if "hidden.weight" in s:
            out = np.maximum(out @ s["hidden.weight"] + s["hidden.bias"], 0.0)
        weight = s["head.weight"]
        if self.cosine:
            out = out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)
            weight = weight / np.maximum(np.linalg.norm(weight, axis=0, keepdims=True), 1e-12)
            return np.asarray(out @ weight, dtype=np.float64)
        return np.asarray(out @ weight + s["head.bias"], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class TableModel:
    """A model of a table with its rule: rows in, probabilities and decisions out.

    Args:
        kind: "multiclass" or "multilabel".
        names: Of the classes or labels.
        family: The kind of model.
        parts: One fitted model for classes, one for each label.
        columns: What the table's columns are.
        preparation: What was learned of them.
        correction: From outputs to log-odds; of exactness "none" where outputs only rank.
        rule: Tuned on out-of-fold log-odds.
        facts: What else is to be known: rows, study, versions; kept as given.

    Example:
        >>> import equipoise as eq
        >>> model = eq.load("model/")  # doctest: +SKIP
        >>> model.predict(pl.read_csv("new.csv"))  # doctest: +SKIP
        array([[0], [1], [0]], dtype=int8)
    """

    kind: Kind
    names: tuple[str, ...]
    family: str
    parts: Sequence[Any]
    columns: tuple[Column, ...]
    preparation: Preparation
    correction: Correction
    rule: DecisionRule
    facts: Mapping[str, Any] = field(default_factory=dict)

    def scores(self, rows: Any, ids: Any = None) -> Scores:
        """Return what the model says of new rows: log-odds, or scores that only rank.

        Args:
            rows: Path of a table, or a pandas, polars or pyarrow frame; columns are found by name.
                For a model of an array, (N, D).
            ids: Of the rows, or None for their numbers.

        Raises:
            DataError: a column is missing.
        """
        coded = self._coded(rows)
        x = self.preparation(coded)
        values = np.concatenate([part.outputs(x) for part in self.parts], axis=1)
        known = np.arange(len(values)) if ids is None else ids
        how: dict[str, Any] = {"split": "new", "kind": self.kind, "names": self.names,
                               "ids": known, "check_kind": False}  # fmt: skip
        if self.correction.exactness == "none":
            return Scores.from_arrays(None, ranking=values, **how)
        return Scores.from_arrays(None, logits=self.correction.apply(values), **how)

    def predict_proba(self, rows: Any) -> NDArray[np.float64]:
        """Return calibrated probabilities, (N, C)."""
        return np.asarray(self.rule.apply(self.scores(rows)).probabilities)

    def predict(self, rows: Any) -> NDArray[Any]:
        """Return the rule's decisions: (N,) classes, or (N, L) flags."""
        return np.asarray(self.rule.apply(self.scores(rows)).predictions)

    def _coded(self, rows: Any) -> Coded:
        if isinstance(rows, np.ndarray):
            names = [field for column in self.columns for field in column.fields]
            if rows.ndim != 2 or rows.shape[1] != len(names):
                expected = f"have shape (N, {len(names)}), or be a table with the columns' names"
                raise DataError(say("rows", expected, rows.shape))
            return Coded(np.asarray(rows, dtype=np.float32), self.columns)
        return encode(as_frame(rows), self.columns)

    def remarks(self, frame: pl.DataFrame, named: Sequence[str] = ()) -> list[str]:
        """Return what is odd about new rows: columns nobody knows, categories nobody knew.

        Args:
            frame: The rows.
            named: Columns that are labels, ids or groups.
        """
        known = {column.name for column in self.columns} | set(named)
        extra = [name for name in frame.columns if name not in known]
        said = []
        if extra:
            listed = ", ".join(map(repr, extra[:10]))
            said.append(f"Columns that nothing is made of: {listed}.")
        for name, (n, first, why) in unknown_entries(frame, self.columns).items():
            said.append(
                f"Column {name!r} holds {n} entries {why}, such as {first!r}: they are read as "
                "missing."
            )
        return said

    def save(self, folder: str | Path) -> Path:
        """Write the folder; model.json comes last.

        Raises:
            MissingExtraError: scikit-learn's models and encodings need skops.
        """
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        outputs = [self._save_part(place, i, part) for i, part in enumerate(self.parts)]
        learned = self.preparation.table is not None or bool(self.preparation.texts)
        if learned:
            texts = {str(at): pipeline for at, pipeline in self.preparation.texts.items()}
            write_skops({"table": self.preparation.table, "texts": texts}, place / "columns.skops")
        self.rule.save(place / "rule.json")
        body = {
            "schema": _SCHEMA,
            "version": _VERSION,
            "kind": self.kind,
            "names": list(self.names),
            "family": self.family,
            "outputs": outputs,
            "columns": [column.to_dict() for column in self.columns],
            "preparation": {
                "style": self.preparation.style,
                "learned": learned,
                "categorical": list(self.preparation.categorical),
            },
            "correction": self.correction.to_dict(),
            "facts": dict(self.facts),
        }
        write_text(place / "model.json", json.dumps(body, indent=1, ensure_ascii=False))
        return place

    def _save_part(self, place: Path, number: int, part: Any) -> dict[str, Any]:
        if isinstance(part, Constant):
            return {"constant": part.value}
        name = f"model_{number}"
        if isinstance(part, HeadWeights):
            from safetensors.numpy import save_file

            with atomic_path(place / f"{name}.safetensors") as temporary:
                kept = {k: np.ascontiguousarray(v) for k, v in part.state.items()}
                save_file(kept, temporary)
            return {"name": name, "cosine": part.cosine}
        part.save(place, name)
        return {"name": name}

    @classmethod
    def load(cls, folder: str | Path) -> TableModel:
        """Read what :meth:`save` wrote.

        Raises:
            DataError: no such folder, or a damaged one.
            MissingExtraError: the package of the model is not installed.
            SchemaVersionError: another version wrote it.
        """
        place = Path(folder)
        if not (place / "model.json").is_file():
            do = "Write one with `equipoise refit STUDY -o model/`."
            raise DataError(say(str(place), "be a model folder", "no model.json in it", do))
        try:
            body = parse_json(read_text(place / "model.json"))
            if body["schema"] != _SCHEMA or body["version"] != _VERSION:
                got = f"{body['schema']} {body['version']}"
                raise SchemaVersionError(say(str(place), f"be a {_SCHEMA} {_VERSION}", got))
            told = body["preparation"]
            learned = read_skops(place / "columns.skops") if told["learned"] else {}
            texts = {int(at): pipeline for at, pipeline in learned.get("texts", {}).items()}
            prepared = Preparation(
                told["style"], learned.get("table"), texts, tuple(told["categorical"])
            )
            return cls(
                kind=body["kind"],
                names=tuple(body["names"]),
                family=body["family"],
                parts=[_load_part(place, body["family"], part) for part in body["outputs"]],
                columns=columns_from(body["columns"]),
                preparation=prepared,
                correction=Correction.from_dict(body["correction"]),
                rule=DecisionRule.load(place / "rule.json"),
                facts=body["facts"],
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(say(str(place), "be a whole model folder", repr(error))) from error


def _load_part(place: Path, family: str, told: Mapping[str, Any]) -> Any:
    if "constant" in told:
        return Constant(float(told["constant"]))
    if family == _HEADS:
        from safetensors.numpy import load_file

        return HeadWeights(load_file(place / f"{told['name']}.safetensors"), bool(told["cosine"]))
    kind = get_family(family)
    kind.require()
    return kind.load(place, str(told["name"]))


def as_frame(rows: Any) -> pl.DataFrame:
    """Return rows of a file or a frame as a polars frame."""
    return read_table(rows) if isinstance(rows, (str, Path)) else to_table(rows)


def load(folder: str | Path) -> TableModel:
    """Read a model folder that ``equipoise refit`` wrote.

    Args:
        folder: With model.json.

    Raises:
        DataError: no such folder, or a damaged one.
        MissingExtraError: the package of the model is not installed.
    """
    return TableModel.load(folder)
