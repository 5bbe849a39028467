"""The study file of mining: that of one training, and how hard negatives are mined."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from equipoise._core.words import say
from equipoise.errors import UsageError
from equipoise.studies.study import set_value
from equipoise.studies.train_study import (
    TrainStudy,
    check_one_arm,
    parse_as,
    read_relative,
)


class MineStudy(TrainStudy):
    """Everything that decides one run of mining.

    ``mining`` holds the settings of :class:`equipoise.mining.MiningOptions`; ``negative`` names the
    class whose rows are the negatives, that with the most rows if it is None. Without
    ``training.epochs`` the first round takes 2,000 steps, and later ones as many epochs.
    """

    mining: dict[str, Any] = Field(default_factory=dict)
    negative: str | None = None


def parse_mine_study(content: Any, name: str = "study") -> MineStudy:
    """Check the content of a study file.

    Raises:
        UsageError: as :func:`equipoise.studies.train_study.parse_train_study`; or folds.
    """
    study = parse_as(content, name, MineStudy)
    check_one_arm(study)
    if study.folds is not None:
        do = "Validation rows must stay unmined: they are one part."
        raise UsageError(say("folds", "be left out of a study of mining", study.folds, do))
    return study


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
) -> MineStudy:
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
            raise UsageError(
                "--label, --labels, --id and --group describe a table; a study names them under "
                "`data:`. Change them there, or with --set data.label=y."
            )
        content = read_relative(source, tuple(changes))
    else:
        if label is None and labels is None:
            do = "Name the label column: --label y."
            raise UsageError(
                say(str(source), "be a study (.yaml), or come with --label", "neither", do)
            )
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
    return parse_mine_study(content, str(source))
