"""From the words of ``equipoise compare`` to a study, its plan, and a clean folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from equipoise._core.words import say
from equipoise.errors import UsageError
from equipoise.methods import THRESHOLDS, methods_for
from equipoise.studies.load import load_data
from equipoise.studies.plan import Candidate, Plan, make_plan
from equipoise.studies.schema import Study, load_study, parse_study, set_value
from equipoise.studies.screening import HEADS_AT_ONCE, missing_jobs
from equipoise.studies.template import DEFAULT_REFERENCES, table_spec
from equipoise.studies.threads import using_threads

# Features times labels up to which logistic regressions take seconds.
_QUICK_TO_FIT = 30_000_000


def study_from(
    source: Path,
    label: str | None,
    labels: str | None,
    delimiter: str,
    kind: str | None,
    id_column: str | None,
    group: str | None,
    test: Path | None,
    assignments: Sequence[str] | None,
    coding: Mapping[str, Sequence[str] | None] | None = None,
) -> Study:
    """Return the study of a YAML file, or the default study of a feature table."""
    if source.suffix in (".yaml", ".yml"):
        described = (label, labels, kind, id_column, group, test)
        if any(v is not None for v in described) or any((coding or {}).values()):
            raise UsageError(
                "--label, --labels, --kind, --id, --group, --test and how labels are coded "
                "describe a table; a study names them under `data:`. Change them there, or with "
                "--set data.label=y."
            )
        return load_study(source, tuple(assignments or ()))
    if label is None and labels is None:
        do = "Name the label column: --label y, or --labels A,B,C."
        raise UsageError(
            say(str(source), "be a study (.yaml), or come with --label", "neither", do)
        )
    spec = table_spec(source, label, labels, delimiter, kind, id_column, group, coding)
    data = spec.model_dump(exclude_none=True)
    if test is not None:
        data["test_path"] = str(test)
    draft = parse_study({"data": data, "arms": ["none"]}, str(source))
    loaded = load_data(draft)
    found = loaded.labels
    chosen = [m.name for m in methods_for(found.kind) if m.first_choice and m.name != "none"]
    small = loaded.features.size * found.num_classes <= _QUICK_TO_FIT
    arms = ["none", THRESHOLDS, *chosen, *DEFAULT_REFERENCES[: None if small else 1]]
    content = {"title": source.stem, "data": data, "arms": arms}
    for assignment in assignments or ():
        set_value(content, assignment)
    return parse_study(yaml.safe_load(yaml.safe_dump(content)), str(source))


def plan_rows(
    study: Study, out: Path, *, allow_code: bool = False
) -> tuple[list[str], list[list[str]], str]:
    """Return what would be trained, as table head and rows, and about how long it would take."""
    plan = make_plan(study, cache=out / "features", compute=False, allow_code=allow_code)
    missing = {candidate.folder for candidate in missing_jobs(plan, out)}
    head = ["arm", "seed", "train", "val", "state"]
    if plan.is_tuned:
        head[1:1] = ["setting"]
    rows = []
    for candidate in plan.trials:
        split = plan.splits[candidate.seed]
        state = "to train" if candidate.folder in missing else "finished"
        row = [candidate.arm.label, str(candidate.seed)]
        row += [str(split.train.size), str(split.val.size), state]
        if plan.is_tuned:
            setting = candidate.setting
            words = {"lr": setting.lr, "weight_decay": setting.weight_decay, **setting.settings}
            shown = [f"{key}={value}" for key, value in words.items() if value is not None]
            row[1:1] = [" ".join(shown)]
        rows.append(row)
    to_train = [candidate for candidate in plan.trials if candidate.folder in missing]
    return head, rows, f"{_budget(plan)} {_time(plan, to_train)}"


def _budget(plan: Plan) -> str:
    epochs = plan.training.epochs
    if not plan.is_tuned:
        return f"One setting per arm, {epochs} epochs each."
    return (
        f"{plan.per_trial} settings for every arm, {epochs} epochs each; the best on validation "
        "rows enters the comparison."
    )


def _time(plan: Plan, to_train: list[Candidate]) -> str:
    from equipoise.training.heads import estimate_seconds

    if not to_train:
        return "Nothing to train."
    # One seed takes about as long as another: its stack stands for all.
    heads = [c for c in to_train if not c.arm.is_fitted]
    fits = len(to_train) - len(heads)
    rest = f" {fits} to fit by scikit-learn, not in that time." if fits else ""
    if not heads:
        return f"Nothing to train.{rest}"
    part = [plan.job(c) for c in heads if c.seed == heads[0].seed][:HEADS_AT_ONCE]
    data = plan.data
    with using_threads(plan.threads):
        one = estimate_seconds(data.features, data.labels, part, settings=plan.settings())
    shown = in_words(one * len(heads) / len(part))
    where = f"on {plan.threads} threads ({plan.device})"
    first = ""
    if data.pending is not None:
        size = f"{len(data.labels)} x {data.features.shape[1]}"
        first = f"First the features, {size}, about {in_words(data.pending)}. "
    return f"{first}{len(heads)} to train, about {shown} {where}.{rest}"


def in_words(seconds: float) -> str:
    """Return a time as a person says it."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def clear_trials(out: Path) -> None:
    """Remove the finished trials of a folder."""
    for part in ("trials", "candidates", "stacks"):
        shutil.rmtree(out / part, ignore_errors=True)
