"""Records of options that several verbs share, and what they read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from equipoise.cli import options as o
from equipoise.cli.console import kind_of, split_list

if TYPE_CHECKING:
    from equipoise.artifacts import DecisionRule, Labels, Scores
    from equipoise.artifacts.scores import Part
    from equipoise.io.labels import LabelArguments


@dataclass(frozen=True)
class CodingOptions:
    """What the entries of label columns stand for."""

    delimiter: o.Delimiter = "|"
    positive: o.Positive = None
    negative: o.Negative = None
    unknown: o.Unknown = None
    empty_token: o.EmptyTokens = None

    @property
    def coding(self) -> dict[str, list[str]]:
        """What was declared, by argument."""
        given = {"positive": self.positive, "negative": self.negative, "unknown": self.unknown,
                 "empty_token": self.empty_token}  # fmt: skip
        return {name: tokens for name, tokens in given.items() if tokens}


@dataclass(frozen=True)
class _Places:
    label: o.LabelColumn = None
    labels: o.LabelColumns = None
    id_column: o.IdColumn = None
    group: o.GroupColumn = None


@dataclass(frozen=True)
class ColumnOptions(CodingOptions, _Places):
    """Where labels stand in a table, with ids and groups, and how they are coded.

    Fields of the last base come first, and so do their options in the help.
    """

    @property
    def named(self) -> list[str | None]:
        """The columns that are labels, ids or groups."""
        return [self.label, *(split_list(self.labels) or ()), self.id_column, self.group]

    @property
    def where(self) -> LabelArguments:
        """The same as readers take it."""
        found: Any = {
            "label": self.label,
            "labels": split_list(self.labels),
            "delimiter": self.delimiter,
            "id_column": self.id_column,
            "group_column": self.group,
        }
        return cast("LabelArguments", found | self.coding)


@dataclass(frozen=True)
class LabelOptions(ColumnOptions):
    """The same of a label table, whose kind may be said."""

    kind: o.KindOption = None

    @property
    def where(self) -> LabelArguments:
        """The same as readers take it."""
        return {**super().where, "kind": kind_of(self.kind)}

    def read(self, source: Path) -> Labels:
        """Read the labels of a table or a class folder."""
        from equipoise.io import read_labels

        return read_labels(source, **self.where)

    @property
    def described(self) -> dict[str, Any]:
        """What was said of a table, as the data part of a study has it; nothing that was not."""
        words = {
            "label": self.label,
            "labels": split_list(self.labels),
            "delimiter": None if self.delimiter == "|" else self.delimiter,
            "kind": self.kind,
            "id": self.id_column,
            "group": self.group,
            **self.coding,
        }
        return {key: value for key, value in words.items() if value is not None}


@dataclass(frozen=True)
class _Scored:
    score_kind: o.ScoreKind = None
    columns: o.ScoreColumns = None


@dataclass(frozen=True)
class ScoreOptions(ColumnOptions, _Scored):
    """Where scores stand in a table, beside their labels."""

    def read(
        self, path: Path, split: Part, rule: DecisionRule | None = None
    ) -> tuple[Scores, tuple[str, ...]]:
        """Read scores, and what their columns are called."""
        from equipoise.io.scores import read_named_scores

        columns = split_list(self.columns)
        return read_named_scores(
            path, self.score_kind, columns, split=split, rule=rule, **self.where
        )
