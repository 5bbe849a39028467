"""Words of the command line to labels, for every verb that reads a label table itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.cli import options as o
from equipoise.cli.console import kind_of, split_list

if TYPE_CHECKING:
    from equipoise.artifacts import Labels


def coding_of(
    positive: list[str] | None,
    negative: list[str] | None,
    unknown: list[str] | None,
    empty_token: list[str] | None,
) -> dict[str, list[str]]:
    """Return what was declared of the entries of label columns, by argument."""
    given = {"positive": positive, "negative": negative, "unknown": unknown,
             "empty_token": empty_token}  # fmt: skip
    return {name: tokens for name, tokens in given.items() if tokens}


def labels_of(
    source: Path,
    label: str | None,
    labels: str | None,
    delimiter: str,
    kind: str | None,
    id_column: str | None,
    group: str | None,
    coding: dict[str, list[str]],
) -> Labels:
    """Read the labels of a table or a class folder."""
    from equipoise.io import read_labels

    return read_labels(
        source,
        label=label,
        labels=split_list(labels),
        delimiter=delimiter,
        kind=kind_of(kind),
        id_column=id_column,
        group_column=group,
        **coding,
    )


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """Where labels stand in a table, and how they are coded; for ``with_groups``."""

    label: o.LabelColumn = None
    labels: o.LabelColumns = None
    delimiter: o.Delimiter = "|"
    kind: o.KindOption = None
    id_column: o.IdColumn = None
    group: o.GroupColumn = None
    positive: o.Positive = None
    negative: o.Negative = None
    unknown: o.Unknown = None
    empty_token: o.EmptyTokens = None

    @property
    def named(self) -> list[str | None]:
        """The columns that are labels, ids or groups."""
        return [self.label, *(split_list(self.labels) or ()), self.id_column, self.group]

    def read(self, source: Path) -> Labels:
        """Read the labels of a table or a class folder."""
        coding = coding_of(self.positive, self.negative, self.unknown, self.empty_token)
        return labels_of(
            source,
            self.label,
            self.labels,
            self.delimiter,
            self.kind,
            self.id_column,
            self.group,
            coding,
        )
