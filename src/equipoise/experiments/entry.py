"""From the words of ``equipoise compare`` to a study, its plan, and a clean folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from equipoise._core.checks import say
from equipoise.errors import UsageError
from equipoise.experiments.methods import THRESHOLDS, methods_for
from equipoise.experiments.run import load_data, make_plan, trial_folder
from equipoise.experiments.study import Study, load_study, parse_study, set_value
from equipoise.experiments.template import table_spec

__all__ = ["clear_trials", "plan_rows", "study_from"]


def study_from(
    source: Path,
    label: str | None,
    labels: str | None,
    delimiter: str,
    kind: str | None,
    id_column: str | None,
    group: str | None,
    test: Path | None,
    assignments: tuple[str, ...],
) -> Study:
    """Return the study of a YAML file, or the default study of a feature table."""
    if source.suffix in (".yaml", ".yml"):
        if any(v is not None for v in (label, labels, kind, id_column, group, test)):
            raise UsageError(
                "--label, --labels, --kind, --id, --group and --test describe a table; a study "
                "names them under `data:`. Change them there, or with --set data.label=y."
            )
        return load_study(source, assignments)
    if label is None and labels is None:
        do = "Name the label column: --label y, or --labels A,B,C."
        raise UsageError(
            say(str(source), "be a study (.yaml), or come with --label", "neither", do)
        )
    spec = table_spec(source, label, labels, delimiter, kind, id_column, group)
    data = spec.model_dump(exclude_none=True)
    if test is not None:
        data["test_path"] = str(test)
    draft = parse_study({"data": data, "arms": ["none"]}, str(source))
    found = load_data(draft).labels
    chosen = [m.name for m in methods_for(found.kind) if m.first_choice and m.name != "none"]
    arms = ["none", THRESHOLDS, *chosen]
    content = {"title": source.stem, "data": data, "arms": arms}
    for assignment in assignments:
        set_value(content, assignment)
    return parse_study(yaml.safe_load(yaml.safe_dump(content)), str(source))


def plan_rows(study: Study, out: Path) -> tuple[list[str], list[list[str]]]:
    """Return what would be trained, as table head and rows."""
    plan = make_plan(study)
    rows = []
    for arm, seed, config in plan.trials:
        folder = out / "trials" / trial_folder(arm, seed, config)
        state = "finished" if (folder / "trial.json").is_file() else "to train"
        split = plan.splits[seed]
        rows.append([arm.label, str(seed), str(split.train.size), str(split.val.size), state])
    return ["arm", "seed", "train", "val", "state"], rows


def clear_trials(out: Path) -> None:
    """Remove the finished trials of a folder."""
    shutil.rmtree(out / "trials", ignore_errors=True)
