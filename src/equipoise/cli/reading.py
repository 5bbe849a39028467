"""Words of the command line to labels, for every verb that reads a label table itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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
