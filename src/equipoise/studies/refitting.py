"""A model at the end: the recommended arm on all rows but the test set, with its rule, in a folder.

The rule is tuned on out-of-fold scores: each row's log-odds from the model that did not see it,
after its own inverse. That it serves the model of all rows as well is an assumption, which a test
set checks where there is one.
"""

from __future__ import annotations

import platform
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.extras import names_extras
from equipoise._core.files import atomic_path, write_text
from equipoise._core.fingerprint import canonical_json
from equipoise._core.messages import closest, listed, say
from equipoise._core.progress import Progress
from equipoise._core.rng import child_seed
from equipoise.artifacts import (
    Comparison,
    Correction,
    DecisionRule,
    Evaluation,
    Scores,
)
from equipoise.artifacts.labels import with_ids as labelled
from equipoise.artifacts.trial import Trial, trial_folder
from equipoise.boosting.families import get_family
from equipoise.boosting.model import HeadWeights, TableModel
from equipoise.boosting.preparation import Preparation, learn_preparation
from equipoise.comparison import evaluate
from equipoise.decisions import tune
from equipoise.errors import DataError, NoEffectWarning, UsageError
from equipoise.methods import THRESHOLDS, get_method
from equipoise.methods.on_tables import treat
from equipoise.splits import stratified_split
from equipoise.studies.engine import Plan, using_threads
from equipoise.studies.families import on_model
from equipoise.studies.fitted import Fit, device_of
from equipoise.studies.plan import make_plan
from equipoise.studies.rows import with_ids
from equipoise.studies.schema import (
    DATA_PATHS,
    HEAD,
    REFERENCES,
    Job,
    Study,
    TableData,
    parse_study,
    set_value,
)

if TYPE_CHECKING:
    from equipoise.training import HeadResult, Remedy

_KEPT_OUT = 0.1
"""Share of rows that choose the epoch of a head."""


@dataclass(frozen=True, slots=True, eq=False)
class Refitted:
    """What :func:`refit` wrote.

    Args:
        folder: The model folder.
        arm: Which arm it is.
        method: Its method.
        kind: Name of the kind of model, or of the network.
        needs: Packages that the folder needs to predict, beside equipoise itself.
        rows: Rows that it was trained on.
        rule: That decides.
        tested: Its evaluation on the test set, or None where every row was trained on.
        model: Of a table the model itself; a network is read by `equipoise predict`.
    """

    folder: Path
    arm: str
    method: str
    kind: str
    needs: Sequence[str]
    rows: int
    rule: DecisionRule
    tested: Evaluation | None
    model: TableModel | None = None


@names_extras()
def refit(
    study: Study,
    *,
    results: str | Path,
    out: str | Path,
    arm: str | None = None,
    progress: Progress | None = None,
    command: str = "",
    allow_code: bool = False,
) -> Refitted:
    """Train the recommended arm of a comparison on all rows but the test set, and keep the model.

    Boosters take as many rounds as their models of the folds chose, in the median; a head keeps a
    tenth of the rows out to choose its epoch. The rule is tuned on the out-of-fold log-odds of the
    first seed. A whole network is that of the first seed as it was compared: its validation rows,
    which chose its epoch, choose its rule too. On features of a frozen network the two become one.

    Args:
        study: That was compared: of a table, of features of a frozen network, or of images,
            sequences or arrays with a network.
        results: Folder of the comparison.
        out: Folder to write.
        arm: Another arm than the one that is recommended.
        progress: Called with (what, done, in all).
        command: How it was started, for the card.
        allow_code: Whether code that the study names may be imported.

    Raises:
        DataError: no finished comparison in ``results``.
        UsageError: an arm that it has not, or that is no model of its own.
        MissingExtraError: without skops, for what scikit-learn learned.
    """
    place = Path(results)
    compared = _comparison_in(place)
    plan, chosen = _plan_of(study, compared, allow_code, place, progress)
    name = arm or compared.recommended
    job = _job_of(plan, name)
    if progress is not None:
        progress(f"fitting {name} on all rows", 0, 0)
    trials = _trials_of(plan, place, job)
    rows = np.sort(np.concatenate([plan.splits.first.train, plan.splits.first.val]))
    if plan.data.test is None and plan.splits.folds != [None]:
        rows = np.arange(len(plan.data.labels))
    if study.model is not None:
        return _network(plan, job, trials, place, Path(out))
    if study.features is not None:
        return _on_features(plan, job, trials, rows, Path(out), allow_code)
    pooled = _out_of_fold(plan, trials)
    spec = plan.study.comparison
    rule = tune(pooled, objective=spec.objective, target_prior=spec.target_prior, seed=0)
    with using_threads(plan.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", NoEffectWarning)
        agreed = _agreed(trials)
        model = _fitted(plan, job, agreed, rows, rule)
    facts = _facts(plan, compared, name, rows, pooled, chosen, command)
    facts |= _chosen_settings(agreed, len(trials))
    model = replace(model, facts=facts)
    tested = _tested(plan, model, rows)
    folder = model.save(out)
    write_text(folder / "README.md", card(model, compared, tested))
    return Refitted(
        folder, name, job.arm.method, facts["model"], facts["needs"], rows.size, rule, tested, model
    )


def compared_study(results: str | Path, assignments: Sequence[str] = ()) -> Study:
    """Return the study that a comparison was of, as it was run.

    Args:
        results: Folder of the comparison; paths in the study are seen from where it was run.
        assignments: ``a.b=c``, each.

    Raises:
        DataError: no finished comparison.
    """
    content = dict(_comparison_in(Path(results)).provenance.get("study", {}))
    for assignment in assignments:
        set_value(content, assignment)
    return parse_study(content, f"{results}/comparison.json")


def _comparison_in(place: Path) -> Comparison:
    if not (place / "comparison.json").is_file():
        do = "Run `equipoise compare` first, and give its folder."
        raise DataError(say(str(place), "hold a finished comparison", "no comparison.json", do))
    return Comparison.load(place / "comparison.json")


def _plan_of(
    study: Study,
    compared: Comparison,
    allow_code: bool,
    place: Path,
    progress: Progress | None,
) -> tuple[Plan, str]:
    """Return the plan of a study as it was compared, and the kind of model that was chosen."""
    told = compared.provenance.get("models")
    if not study.models:
        threads = compared.provenance.get("threads")
        plan = make_plan(study, threads=threads, check=False, allow_code=allow_code,
                         cache=place / "features", progress=progress)  # fmt: skip
        return plan, HEAD
    if told is None:
        do = "Compare the study again."
        raise DataError(say("results", "be of this study", "a comparison without models", do))
    first = make_plan(study, threads=compared.provenance.get("threads"), check=False)
    train = first.data.labels[first.splits.first.train]
    placed, _ = on_model(study, told["chosen"], train)
    threads = compared.provenance.get("threads")
    plan = make_plan(placed, threads=threads, check=False, data=first.data)
    return plan, str(told["chosen"])


def _job_of(plan: Plan, name: str) -> Job:
    """Return the first job of an arm."""
    wanted = "none" if name == THRESHOLDS else name
    by = {job.arm.label: job for job in reversed(plan.jobs)}
    if wanted not in by:
        near = closest(wanted, [*by, THRESHOLDS])
        raise UsageError(say("arm", "be one that was compared", repr(name), near))
    job = by[wanted]
    if job.arm.model is None and (job.arm.method in REFERENCES or ":" in job.arm.method):
        do = "Take an arm of a kind of model under `models`."
        raise UsageError(say("arm", "be a model with a remedy", repr(name), do))
    return job


def _trials_of(plan: Plan, place: Path, job: Job) -> list[Trial]:
    """Return the finished trials of an arm, those of all seeds and folds that are there.

    A folder may hold others of the same name: of another model that was called so before the best
    was known, of other settings. What decides a trial tells them apart.
    """
    wanted = {plan.folder(j) for j in plan.jobs if j.arm.label == job.arm.label}
    found = []
    for path in sorted((place / "trials").glob("*/trial.json")):
        trial = Trial.load(path.parent)
        config = {key: value for key, value in trial.config.items() if key != "tuning"}
        if trial_folder(trial.method, trial.seed, config) in wanted:
            found.append(trial)
    if not found:
        do = "Run `equipoise compare` again: its folder lacks this arm's trials."
        raise DataError(say(str(place), f"hold trials of {job.arm.label}", "none", do))
    return found


def _log_odds(scores: Scores) -> NDArray[np.float64]:
    """Return scores after their own inverse; those that only rank as they are."""
    return scores.log_odds() if scores.has_probabilities else np.asarray(scores.values)


def _out_of_fold(plan: Plan, trials: Sequence[Trial]) -> Scores:
    """Return each row's log-odds from a model that was not trained on it.

    With folds they are those of the first seed. With one split per seed they are those of the
    validation rows, of a row that several seeds validated on the mean.
    """
    part = "test" if trials[0].fold is not None else "val"
    first = min(trial.seed for trial in trials)
    used = [t for t in trials if part == "val" or t.seed == first]
    labels = with_ids(plan.data).labels
    total = np.zeros((len(labels), labels.num_classes))
    times = np.zeros(len(labels))
    for trial in used:
        split = plan.splits[trial.seed, trial.fold]
        rows = split.test if part == "test" else split.val
        total[rows] += _log_odds(trial.scores[part])
        times[rows] += 1
    seen = np.flatnonzero(times)
    values = total[seen] / times[seen, None]
    ranks = any(not trial.scores[part].has_probabilities for trial in used)
    given: dict[str, Any] = {"ranking" if ranks else "logits": values}
    return Scores.from_arrays(labelled(labels, seen), split="oof", check_kind=False, **given)


def _rounds(trials: Sequence[Trial]) -> list[int | None] | None:
    """Return the median number of rounds of each output, or None where nothing was boosted."""
    chosen = [trial.selection.get("rounds") for trial in trials]
    if any(rounds is None for rounds in chosen):
        return None
    median = np.median(np.asarray(chosen, dtype=np.float64), axis=0)
    return [max(1, round(float(m))) for m in median]


def _agreed(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials with the settings that most of them chose, of equals the first's."""
    keys = [canonical_json([trial.config.get(part) for part in ("settings", "training", "model")])
            for trial in trials]  # fmt: skip
    best = max(keys, key=keys.count)
    return [trial for trial, key in zip(trials, keys, strict=True) if key == best]


def _chosen_settings(agreed: Sequence[Trial], of: int) -> dict[str, Any]:
    """Return what the card says of settings, those of the model included, and how they came."""
    config = agreed[0].config
    found: dict[str, Any] = {"settings": config["settings"]}
    if "model" in config:
        found["model_settings"] = config["model"]["settings"]
    return {**found, "agreed": f"{len(agreed)} of {of}"} if "tuning" in config else found


def _fitted(
    plan: Plan, job: Job, trials: Sequence[Trial], rows: NDArray[np.int64], rule: DecisionRule
) -> TableModel:
    """Return the model of an arm on rows, with the settings that its trials agree on."""
    labels, table = plan.data.labels, plan.data.table
    kind = job.arm.model
    config = trials[0].config
    remedy = get_method(job.arm.method).build(labels[rows], **config["settings"])
    seed = child_seed(0, "refit")
    common: dict[str, Any] = {"kind": labels.kind, "names": labels.names, "rule": rule,
                              "columns": table.columns}  # fmt: skip
    if kind is None or kind == HEAD:
        return _head(plan, remedy, trials, rows, common)
    family = get_family(kind)
    treatment = treat(remedy, labels[rows], family, seed)
    preparation, train = learn_preparation(table, labels, rows, family.style)
    fit = Fit(family, treatment, config["model"]["settings"], seed, plan.threads,
              rounds=_rounds(trials), device=device_of(plan.study))  # fmt: skip
    parts = fit.all(train, labels[rows], preparation)
    return TableModel(family=kind, parts=parts, preparation=preparation,
                      correction=treatment.correction, **common)  # fmt: skip


def _network(plan: Plan, job: Job, trials: Sequence[Trial], place: Path, out: Path) -> Refitted:
    """Keep the network of the first seed as it is, with a rule for the study's objective.

    What a network says is on a scale of its own, and which epoch is kept is chosen on validation
    rows: so these also choose its rule, and are not trained on.
    """
    from equipoise.training.folder import write_card  # late: torch

    trial = min(trials, key=lambda t: t.seed)
    source = place / "trials" / trial.folder_name
    spec = plan.study.comparison
    rule = tune(trial.scores["val"], objective=spec.objective, target_prior=spec.target_prior,
                seed=trial.seed)  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    # The record comes last: without it nobody takes the folder for a model.
    record = out / "trial.json"
    record.unlink(missing_ok=True)
    _move(source, out, but=record.name)
    tested = write_card(trial, out, rule)
    with atomic_path(record) as temporary:
        shutil.copyfile(source / record.name, temporary)
    kind = plan.study.model.name if plan.study.model is not None else ""
    packages = ("torch", "safetensors")
    return Refitted(out, job.arm.label, job.arm.method, kind, packages, trial.n_train, rule, tested)


def _on_features(
    plan: Plan,
    job: Job,
    trials: Sequence[Trial],
    rows: NDArray[np.int64],
    out: Path,
    allow_code: bool,
) -> Refitted:
    """Join a frozen network and a head on its features, trained on rows, to one network."""
    import torch

    from equipoise.models import HeadOnFeatures
    from equipoise.studies.frozen_features import open_backbone
    from equipoise.studies.network_rows import load_rows
    from equipoise.training.folder import write_card, write_weights

    study, labels, config = plan.study, plan.data.labels, trials[0].config
    pooled, spec = _out_of_fold(plan, trials), plan.study.comparison
    rule = tune(pooled, objective=spec.objective, target_prior=spec.target_prior, seed=0)
    agreed = _agreed(trials)
    remedy = get_method(job.arm.method).build(labels[rows], **agreed[0].config["settings"])
    test = np.setdiff1d(np.arange(len(labels)), rows)
    with using_threads(plan.threads):
        made, result = _train_head(plan, remedy, agreed, rows, lambda _: plan.data.features, test)
    val = result.trial.scores["val"]
    if val.has_probabilities:
        # Tuned on log-odds after the inverse of each fold's model, it is used after this one's.
        rule = replace(rule, correction=val.correction or Correction.identity(val.kind))
    assert study.features is not None  # noqa: S101  # the caller has looked
    read = load_rows(study.data)
    backbone = open_backbone(read, study.features, device="cpu", allow_code=allow_code)
    # Weights lie as (inputs, outputs) there, and the rest as rows.
    laid = {key: v.T if "weight" in key else v.reshape(-1) for key, v in result.state.items()}
    state = {key: torch.as_tensor(np.ascontiguousarray(v)) for key, v in laid.items()}
    on: dict[str, Any] = {
        "layer": backbone.layer,
        "in_features": state["mean"].numel(),
        "hidden": state["hidden.bias"].numel() if "hidden.bias" in state else 0,
        "cosine": made.head == "cosine",
    }
    network = HeadOnFeatures(backbone.network, num_classes=labels.num_classes, **on)
    network.load_state_dict({**network.state_dict(), **state})
    data = study.data.model_dump(mode="json", exclude_none=True)
    build = {**backbone.build, "head_on_features": on, "names": list(labels.names),
             "kind": labels.kind,
             "data": {k: v for k, v in data.items() if k not in DATA_PATHS}}  # fmt: skip
    told = {**config, "build": build, "title": study.title}
    trial = replace(result.trial, config=told, method=job.arm.label, model_file="model.safetensors")
    out.mkdir(parents=True, exist_ok=True)
    (out / "trial.json").unlink(missing_ok=True)
    write_weights(network.state_dict(), out / "model.safetensors")
    with tempfile.TemporaryDirectory() as folder:
        _move(trial.save(folder), out, but="trial.json")
        tested = write_card(trial, out, rule)
        _move(Path(folder) / trial.folder_name, out)
    packages = ("torch", "safetensors")
    return Refitted(
        out, job.arm.label, job.arm.method, backbone.name, packages, rows.size, rule, tested
    )


def _move(source: Path, out: Path, *, but: str = "") -> None:
    """Write copies of a folder's files, each whole or not at all."""
    for file in source.iterdir():
        if file.is_file() and file.name != but:
            with atomic_path(out / file.name) as temporary:
                shutil.copyfile(file, temporary)


def _train_head(
    plan: Plan,
    remedy: Remedy,
    trials: Sequence[Trial],
    rows: NDArray[np.int64],
    features_for: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    test: NDArray[np.int64],
) -> tuple[Remedy, HeadResult]:
    """Train a head; a tenth of the rows chooses its epoch.

    Args:
        plan: Of the study.
        remedy: What it is trained with.
        trials: Of the arm, with the settings that most of them chose.
        rows: To train on, and to choose the epoch by.
        features_for: Of the rows that are trained on, the features of all.
        test: Rows that it is tested on.
    """
    from equipoise.training import HeadJob, HeadSettings, train_heads

    labels = plan.data.labels
    groups = labels.groups
    inner = stratified_split(
        labels[rows], fractions=(1 - _KEPT_OUT, _KEPT_OUT, 0.0), seed=0, min_per_part=0,
        groups=None if groups is None else groups[rows],
    )  # fmt: skip
    train, val = rows[inner.train], rows[inner.val]
    made = get_method(remedy.name).build(labels[train], **remedy.settings)
    training = trials[0].config["training"]
    known = {k: v for k, v in training.items() if k not in ("lr", "weight_decay")}
    compute = plan.study.compute
    settings = HeadSettings(**known, lr=training["lr"], weight_decay=training["weight_decay"],
                            device=compute.device, memory_gb=compute.memory_gb)  # fmt: skip
    job = HeadJob(made, 0, train, val)
    (result,) = train_heads(features_for(train), labels, test, [job], settings=settings)
    return made, result


def _head(
    plan: Plan,
    remedy: Remedy,
    trials: Sequence[Trial],
    rows: NDArray[np.int64],
    common: dict[str, Any],
) -> TableModel:
    """Return a head on a table's columns as a model of its own."""
    learned: list[Preparation] = []

    def prepared(train: NDArray[np.int64]) -> NDArray[np.float32]:
        preparation, seen = learn_preparation(plan.data.table, plan.data.labels, train, "numbers")
        learned.append(preparation)
        features = preparation(plan.data.table)
        features[train] = seen
        return features

    nowhere = np.empty(0, dtype=np.int64)
    made, result = _train_head(plan, remedy, trials, rows, prepared, nowhere)
    part = HeadWeights(result.state, cosine=made.head == "cosine")
    return TableModel(family=HEAD, parts=[part], preparation=learned[0],
                      correction=made.correction, **common)  # fmt: skip


def _tested(plan: Plan, model: TableModel, rows: NDArray[np.int64]) -> Evaluation | None:
    """Return how the model does on the test set, where there is one."""
    test = np.setdiff1d(np.arange(len(plan.data.labels)), rows)
    if not test.size:
        return None
    table = plan.data.table
    x = model.preparation(table, test)
    values = np.concatenate([part.outputs(x) for part in model.parts], axis=1)
    given: dict[str, Any] = {"logits": model.correction.apply(values)}
    if model.correction.exactness == "none":
        given = {"ranking": values}
    truth = labelled(with_ids(plan.data).labels, test)
    scores = Scores.from_arrays(truth, split="test", check_kind=False, **given)
    return evaluate(model.rule, scores)


def needs(family: str, learned: bool) -> list[str]:
    """Return the packages that a model folder needs to predict, beside equipoise itself."""
    found = ("safetensors",) if family == HEAD else get_family(family).needs
    return [*found, *(n for n in ("scikit-learn", "skops") if learned and n not in found)]


def _versions(names: Sequence[str]) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("equipoise", "numpy", *names):
        for package in (name, f"{name}-cpu"):
            try:
                found[package] = version(package)
                break
            except PackageNotFoundError:
                continue
    return found


def _facts(
    plan: Plan,
    compared: Comparison,
    name: str,
    rows: NDArray[np.int64],
    pooled: Scores,
    chosen: str,
    command: str,
) -> dict[str, Any]:
    data = plan.study.data
    where = data if isinstance(data, TableData) else None
    job = _job_of(plan, name)
    kind = job.arm.model or HEAD
    named = [] if where is None else [n for n in (where.label, *(where.labels or ()), where.id,
                                                  where.group, where.weight)
                                       if n is not None]  # fmt: skip
    learned = plan.data.coded is not None or get_style(kind) == "numbers"
    return {
        "arm": name,
        "method": job.arm.method,
        "model": kind,
        "chosen": chosen,
        "rows": int(rows.size),
        "rule_rows": len(pooled),
        "data": plan.data.description,
        "named": named,
        "id": None if where is None else where.id,
        "weight": None if where is None else where.weight,
        "needs": needs(kind, learned),
        "command": command,
        "compared": compared.provenance.get("command", ""),
        "versions": _versions(needs(kind, learned)),
    }


def get_style(kind: str) -> str:
    """Return whom rows are prepared for."""
    return "numbers" if kind == HEAD else get_family(kind).style


def card(model: TableModel, compared: Comparison, tested: Evaluation | None) -> str:
    """Return the README of a model folder."""
    facts = model.facts
    what = "classes" if model.kind == "multiclass" else "labels"
    assumed = (
        f"The rule was tuned on the out-of-fold scores of {facts['rule_rows']:,} rows, by models "
        "that did not see them. That it serves the model of all rows as well is assumed."
    )
    lines = [
        f"# {compared.title}: {facts['arm']}"
        + (f" on {facts['model']}" if facts["model"] != facts["method"] else ""),
        "",
        f"Decides {what} {listed(model.names, 20)} of rows like those of {facts['data']}.",
        "",
        "## Use",
        "",
        "    equipoise predict THIS_FOLDER new.csv -o predictions.csv",
        "",
        "or, in Python:",
        "",
        "    import equipoise as eq",
        '    model = eq.load("THIS_FOLDER")',
        "    model.predict_proba(table), model.predict(table)",
        "",
        f"It needs equipoise and {', '.join(facts['needs'])}; no other package, and no torch.",
        "",
        "## How it was made",
        "",
        f"- Trained on {facts['rows']:,} rows.",
        f"- {_undone(model.correction)}",
        f"- {assumed}",
    ]
    if "agreed" in facts:
        shown = {**facts["settings"], **facts.get("model_settings", {})}
        told_of = ", ".join(f"{key} {value}" for key, value in shown.items())
        lines.append(f"- With the settings that {facts['agreed']} trainings chose on validation "
                     f"rows: {told_of}.")  # fmt: skip
    if facts.get("weight"):
        lines.append(f"- Rows counted by their weights, column {facts['weight']}; it is not needed "
                     "to predict.")  # fmt: skip
    if facts["model"] == HEAD:
        lines.append("- A tenth of the rows was kept out to choose the epoch.")
    lines += ["", "## What the comparison said", "", *(f"- {line}" for line in compared.summary)]
    lines += ["", "## On the test set", ""]
    if tested is None:
        lines.append("There was none: every row was trained on. The comparison's numbers are those "
                     "of models that did not see what they were tested on.")  # fmt: skip
    else:
        lines += ["```", str(tested), "```"]
    lines += ["", "## Columns", ""]
    lines += [f"- {c.name}: {c.role}{f' ({c.why})' if c.why else ''}" for c in model.columns[:200]]
    told = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    lines += ["", "## Versions", "", told, ""]
    return "\n".join(lines)


def _undone(correction: Correction) -> str:
    if correction.is_identity:
        return "The model is untreated: its outputs are log-odds as they are."
    if correction.exactness == "none":
        return "The remedy has no inverse: probabilities come from the calibrator of the rule."
    return (
        f"What the remedy does to probabilities is undone ({correction.exactness}) before the rule "
        "calibrates."
    )
