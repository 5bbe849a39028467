"""Train one model with one remedy on Lightning, and write what came of it."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import nn
from torch.utils.data import Dataset

from equipoise._core.checks import require_type
from equipoise._core.fingerprint import fingerprint_array
from equipoise._core.messages import hint, say
from equipoise._core.rng import child_seed
from equipoise.artifacts import Correction, Labels, Scores, Split, Trial
from equipoise.artifacts.finding import load_findings, save_findings
from equipoise.artifacts.labels import with_ids
from equipoise.artifacts.scores import SplitName
from equipoise.artifacts.trial import trial_folder
from equipoise.diagnosis.score_checks import chance_findings
from equipoise.errors import (
    DataError,
    MissingExtraError,
    NoSkillWarning,
    UsageError,
)
from equipoise.models import CosineHead
from equipoise.splits import stratified_kfold
from equipoise.training.dense import require_one_process
from equipoise.training.faults import (
    BATCHES,
    plain_faults,
    require_device,
    require_lessons,
    require_precision,
)
from equipoise.training.folder import write_trial
from equipoise.training.late import Deferred, SecondStage
from equipoise.training.options import TrainingOptions
from equipoise.training.ranks import place
from equipoise.training.remedy import Remedy
from equipoise.training.run_data import Collate, RunData
from equipoise.training.selection import Monitor, realised_histogram

if TYPE_CHECKING:
    from equipoise.training.module import Augment, RemedyModule


# Raised when what a trial holds, or how the same config is trained, changes.
TRIAL_SCHEMA = 2


def trial_config(
    run_data: RunData, network: nn.Module, config: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return everything that decides the outcome."""
    weights = network.state_dict().values()
    start = fingerprint_array(*(w.detach().cpu().double().numpy() for w in weights))
    return {
        "trial_schema": TRIAL_SCHEMA,
        "engine": "fit",
        "method": run_data.remedy.name,
        "settings": dict(run_data.remedy.settings),
        "remedy": _remedy_config(run_data.remedy),
        "seed": run_data.seed,
        "training": run_data.options.decisive,
        "split": run_data.split.fingerprint,
        "labels": run_data.truth.fingerprint,
        "inputs": getattr(run_data.dataset, "fingerprint", None),
        "initial_weights": start,
        **({} if run_data.monitor is None else {"monitor": run_data.monitor.name}),
        **_ties(run_data),
        **(config or {}),
    }


def _ties(run_data: RunData) -> dict[str, Any]:
    """Return how equal epochs are told apart, where the metric decides anything."""
    options = run_data.options
    decides = options.keep == "best" or options.patience or options.schedule == "plateau"
    return {"ties": "val_loss"} if options.epochs > 1 and decides else {}


def _remedy_config(remedy: Remedy) -> dict[str, Any]:
    """Return what tells two remedies of one name and settings apart, samplers left out."""
    config: dict[str, Any] = {
        "loss": _loss_config(remedy.loss),
        "mixing": _name(remedy.mixing),
    }
    if remedy.augmentation is not None:
        config["augmentation"] = _name(remedy.augmentation)
    late, stage = remedy.schedule, remedy.second_stage
    if isinstance(late, Deferred):
        config["late"] = [late.start, None if late.loss is None else _loss_config(late.loss)]
    if isinstance(stage, SecondStage):
        own = [stage.kind, stage.epochs, stage.lr, list(stage.taus), stage.bias]
        config["second_stage"] = [*own, _remedy_config(stage.remedy)]
    return config


def _loss_config(loss: nn.Module) -> list[str]:
    numbers = [b.detach().cpu().double().numpy() for b in loss.state_dict().values()]
    return [repr(loss), fingerprint_array(*numbers)]


def _name(part: object) -> str:
    """Return what names a callable alike in every process."""
    if part is None or is_dataclass(part):
        return repr(part)
    return f"{type(part).__module__}.{getattr(part, '__qualname__', type(part).__qualname__)}"


Maker = Callable[[Labels], Remedy]


def check_folds(remedy: Remedy | Maker, options: TrainingOptions) -> Maker:
    """Return what makes a remedy for each fold.

    Raises:
        UsageError: a remedy that is made already, or an epoch chosen by the metric: on the rows
            whose scores are pooled, that choice would flatter them.
    """
    if isinstance(remedy, Remedy):
        do = f'Pass functools.partial(eq.remedy, "{remedy.name}").'
        raise UsageError(say("remedy", "be made anew for each fold", "a finished one", do))
    if options.keep != "last" or options.patience is not None:
        do = hint("Set {keep=last} and {patience=None}: fix the number of epochs beforehand.")
        raise UsageError(say("options", "keep the last epoch of each fold", options.keep, do))
    return remedy


def split_folds(labels: Labels, split: Split, folds: int, seed: int) -> list[Split]:
    """Return one split per fold of the training and validation rows; test rows stay.

    Args:
        labels: Of all rows.
        split: Its training and validation rows are pooled; groups stay whole.
        folds: k.
        seed: Of the partition.
    """
    pool = np.sort(np.concatenate([split.train, split.val]))
    inner = stratified_kfold(labels[pool], folds=folds, seed=seed)
    return [
        Split.from_parts(
            pool[fold.train],
            pool[fold.val],
            split.test,
            n_rows=split.n_rows,
            seed=seed,
            method=fold.method,
            proof=fold.proof,
        )
        for fold in inner
    ]


def pool_folds(
    trials: list[Trial], splits: list[Split], labels: Labels, config: Mapping[str, Any]
) -> Trial:
    """Return one trial of k: out-of-fold scores of the pool, mean scores of the test rows.

    Each fold's outputs are corrected by its own remedy before they are pooled, so that folds with
    different counts speak of the same probabilities. Outputs that only rank are pooled as they
    are; whether folds agree on their scale, only a calibrator can tell.
    """
    first = trials[0]
    parts = [(_corrected(t.scores["val"]), s.val) for t, s in zip(trials, splits, strict=True)]
    rows = np.concatenate([part for _, part in parts])
    order = np.argsort(rows)
    values = np.concatenate([v for v, _ in parts])[order]
    correction, name = _pooled_correction(trials, labels, splits)
    scores = {"oof": _scores(labels, rows[order], values, name, correction, "oof")}
    if "test" in first.scores:
        mean = np.mean([_corrected(t.scores["test"]) for t in trials], axis=0)
        scores["test"] = _scores(labels, splits[0].test, mean, name, correction, "test")
    values_of = [t.selection["last_value"] for t in trials]
    pool = labels[np.sort(rows)]
    return replace(
        first,
        config=dict(config),
        n_train=int(rows.size),
        n_val=0,
        train_counts={n: int(c) for n, c in zip(labels.names, pool.counts, strict=True)},
        histogram={n: sum(t.histogram[n] for t in trials) for n in labels.names},
        history=[{**row, "fold": k} for k, t in enumerate(trials) for row in t.history],
        label_history=(),
        scores=scores,
        selection={
            "metric": first.selection["metric"],
            "folds": len(trials),
            "last_value": float(np.mean(values_of)),
            "last_values": values_of,
        },
        model_file=None,
    )


def _corrected(scores: Scores) -> NDArray[np.float64]:
    if scores.score_kind == "ranking" or scores.correction is None:
        return np.asarray(scores.values, dtype=np.float64)
    applied = np.asarray(scores.correction.apply(scores.values))
    return np.asarray(log_softmax(applied, axis=1)) if scores.kind == "multiclass" else applied


def _pooled_correction(
    trials: list[Trial], labels: Labels, splits: list[Split]
) -> tuple[Correction, str]:
    """Return the correction of pooled scores, which are corrected, and their kind."""
    own = trials[0].scores["val"]
    if own.score_kind == "ranking":
        return Correction(labels.kind, exactness="none"), "ranking"
    pool = labels[np.concatenate([s.val for s in splits])]
    prior = tuple(pool.prevalence.tolist()) if labels.kind == "multiclass" else None
    exactness = "exact" if own.correction is None else own.correction.exactness
    return Correction(labels.kind, exactness=exactness, prior=prior), "logits"


def _scores(
    labels: Labels,
    rows: NDArray[np.int64],
    values: NDArray[np.float64],
    kind: str,
    correction: Correction,
    part: Any,
) -> Scores:
    given: dict[str, Any] = {kind: values}
    return Scores.from_arrays(
        with_ids(labels, rows), split=part, correction=correction, check_kind=False, **given
    )


_SLOTS = ("class_dim", "sampler", "augmentation", "mixing", "schedule", "second_stage")
Model = nn.Module | Callable[[], nn.Module]


def fit(
    model: Model,
    dataset: Dataset[Any],
    split: Split,
    remedy: Remedy | Callable[[Labels], Remedy],
    *,
    options: TrainingOptions | None = None,
    folds: int | None = None,
    labels: Labels | None = None,
    seed: int = 0,
    augment: Augment | None = None,
    collate: Collate | None = None,
    out: str | Path | None = None,
    resume: bool = True,
    progress: bool | None = None,
    config: Mapping[str, Any] | None = None,
    monitor: Monitor | None = None,
) -> Trial:
    """Train, keep the epoch that validates best, and score validation and test rows once.

    Of epochs that the metric cannot tell apart the one with the lower validation loss is kept.

    Args:
        model: Maps a batch to logits (N, C), or for a remedy with a ``class_dim`` to dense ones, as
            (N, C, H, W): each item's target is then a map, rows are images, and scores are of up
            to 4,096 pixels of every image, with images as groups. A callable that returns a module
            is called under ``seed``, so that the seed decides the initialisation; a module is
            copied and trained from where it stands.
        dataset: Item i is (input, target); targets as in :class:`equipoise.data.ArrayDataset`.
        split: Positions of training, validation and test rows.
        remedy: From :func:`equipoise.remedy`, made for ``labels[split.train]``; or what makes it
            of those labels: ``functools.partial(equipoise.remedy, "pos_weight")``.
        options: Length, batch size, optimizer, precision, devices; None takes the defaults of
            :class:`TrainingOptions`.
        folds: Train as many models, each on the training and validation rows but one stratified,
            grouped fold, and pool what each says about its fold as scores of the part "oof": for
            data with a handful of positives. Needs ``remedy`` as what makes it, and
            ``TrainingOptions(keep="last")``.
        labels: The truth of all rows; None takes ``dataset.labels``. Of images with dense targets:
            which classes or labels are in each, (N, C) multi-label, named as those of pixels.
        seed: Initialisation, order of data, sampler, augmentation and dropout.
        augment: Called as ``augment(x, seed=...)`` on each training batch, on the device; for
            images an :class:`equipoise.data.Augmentation` that is built.
        collate: Makes a batch of items; None takes ``dataset.collate`` where there is one, and
            else stacks tensors. :func:`equipoise.data.pad_batch` pads sequences.
        out: Folder under which the trial's folder is written, or None.
        resume: With ``out``: return a finished trial of the same config as it stands, and go on
            with one that was stopped. False starts again.
        progress: Show a progress bar on stderr; None shows it in a terminal.
        config: Further keys for the trial's record; they enter its hash.
        monitor: What chooses the epoch; None takes macro average precision for labels, and for
            classes balanced accuracy at the formula's balanced rule.

    Returns:
        A Trial with ``scores["val"]`` and, if there are test rows, ``scores["test"]`` of the
        chosen epoch; its ``selection`` states the metric, the chosen epoch and the last epoch's
        value. ``model_file`` is None unless ``out`` is given. With ``folds``: ``scores["oof"]``
        and, for test rows, the mean of the models' log-odds; the folds' own trials lie in the
        trial's folder. Where validation rows are ranked no better than by chance, findings.json in
        the trial's folder says so (EQ321), or a `NoSkillWarning` where there is no folder.

    Raises:
        MissingExtraError: Lightning is not installed.
        DataError: no training or validation rows, or labels that do not match data set and split.
        TrainingError: a loss or an output is no longer finite, memory or disk are full, or a
            process that loads data died. What was finished is kept under ``out``.
        UsageError: this processor cannot run the model in ``options.precision``; the remedy fills a
            slot that this engine does not support, or is made for cosines and the model's last
            module is no :class:`equipoise.models.CosineHead`.

    Note:
        On several devices (``options.devices``, ``num_nodes``, or a start by torchrun) every rank
        returns the same trial and rank 0 writes. The global random state is as before when this
        returns.

        The config's hash covers options, remedy, labels, split, the initial weights, and
        ``dataset.fingerprint`` where there is one; it does not see a change of inputs behind the
        same labels otherwise.
    """
    options = TrainingOptions() if options is None else options
    _require_lightning()
    require_type("options", options, TrainingOptions, "Or TrainingOptions.from_mapping({...}).")
    require_type("split", split, Split)
    if not isinstance(remedy, Remedy) and not callable(remedy):
        do = 'Make it of the training labels: equipoise.remedy("focal", labels[split.train]).'
        raise UsageError(say("remedy", "be a Remedy or a function of labels", repr(remedy), do))
    require_device(options)
    truth = _truth(dataset, labels)
    if truth.weights is not None:
        do = "Train a head on features, or a model of tables; or leave the weights out."
        raise UsageError(say("labels", "have no row weights for a whole network", "weights", do))
    if collate is None:
        collate = getattr(dataset, "collate", None)
    rest: dict[str, Any] = {"resume": resume, "progress": progress, "augment": augment}
    if folds is None:
        made = remedy if isinstance(remedy, Remedy) else remedy(truth[split.train])
        run_data = RunData(dataset, truth, split, made, options, seed, collate, monitor)
        if run_data.layout is not None and made is not remedy:
            do = "Pass equipoise.remedy(name, pixel_labels, class_dim=...)."
            raise UsageError(say("remedy", "be made of the labels of pixels", "a function", do))
        require_one_process(place()[1], run_data.layout)
        return _fit(model, run_data, out=out, config=config, **rest)
    make = check_folds(remedy, options)
    parts = [
        RunData(dataset, truth, part, make(truth[part.train]), options, seed, collate, monitor)
        for part in split_folds(truth, split, folds, seed)
    ]
    return _fit_folds(model, parts, out=out, config=config, **rest)


def planned_config(
    model: Model,
    dataset: Dataset[Any],
    split: Split,
    remedy: Remedy,
    *,
    options: TrainingOptions,
    labels: Labels | None = None,
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the config of the trial that :func:`fit` writes for these arguments."""
    run_data = RunData(dataset, _truth(dataset, labels), split, remedy, options, seed)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(child_seed(seed, "init"))
        return trial_config(run_data, _network(model, remedy), config)


def _fit(
    model: Model,
    run_data: RunData,
    *,
    augment: Augment | None,
    out: str | Path | None,
    resume: bool,
    progress: bool | None,
    config: Mapping[str, Any] | None,
) -> Trial:
    from equipoise.training.module import RemedyModule
    from equipoise.training.stages import clear_checkpoints, run_stages
    from equipoise.training.watch import require_trackers

    remedy, seed = run_data.remedy, run_data.seed
    remedy.require_supported("fit", _SLOTS)
    require_trackers(run_data.options.trackers)
    joined_before = torch.distributed.is_available() and torch.distributed.is_initialized()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(child_seed(seed, "init"))
        network = _network(model, remedy)
        whole_config = trial_config(run_data, network, config)
        folder = None if out is None else Path(out) / trial_folder(remedy.name, seed, whole_config)
        if folder is not None and resume and (found := Trial.finished(folder)) is not None:
            return found
        with plain_faults(run_data.options, folder):
            if run_data.options.precision == "bf16-mixed":
                require_precision(network, run_data.few(), run_data.options)
            size = run_data.options.rows_per_pass(place()[1])
            first = run_data.split.train[run_data.preview(size * BATCHES)]
            if run_data.layout is None:
                require_lessons(remedy, run_data.truth[first], size)
            module = RemedyModule(network, run_data, augment)
            run_stages(module, folder=folder, resume=resume, progress=progress)
            trial = _to_trial(module, whole_config)
            _tell_chance(trial, folder)
            if out is not None and folder is not None and place()[0] == 0:
                trial = write_trial(trial, module.record.best, Path(out))
                clear_checkpoints(folder)
            _leave_group(joined_before)
    return trial


def _fit_folds(
    model: Model,
    parts: list[RunData],
    *,
    out: str | Path | None,
    config: Mapping[str, Any] | None,
    resume: bool,
    **rest: Any,
) -> Trial:
    first = parts[0]
    whole_config = {
        "trial_schema": TRIAL_SCHEMA,
        "engine": "fit",
        "method": first.remedy.name,
        "settings": dict(first.remedy.settings),
        "seed": first.seed,
        "training": first.options.decisive,
        "folds": [run_data.split.fingerprint for run_data in parts],
        "labels": first.truth.fingerprint,
        **({} if first.monitor is None else {"monitor": first.monitor.name}),
        **(config or {}),
    }
    folder = None
    if out is not None:
        folder = Path(out) / trial_folder(first.remedy.name, first.seed, whole_config)
        if resume and (found := Trial.finished(folder)) is not None:
            return found
    trials = [
        _fit(
            model, run_data, out=folder, config={**(config or {}), "fold": k}, resume=resume, **rest
        )
        for k, run_data in enumerate(parts)
    ]
    pooled = pool_folds(trials, [run_data.split for run_data in parts], first.truth, whole_config)
    if out is not None and place()[0] == 0:
        pooled.save(out)
    return pooled


def _require_lightning() -> None:
    """Import it here and not above: losses, samplers and heads are used without it."""
    try:
        import lightning.pytorch  # noqa: F401
    except (ImportError, RuntimeError) as error:
        raise MissingExtraError("lightning", "train", "fit") from error


def _truth(dataset: Dataset[Any], labels: Labels | None) -> Labels:
    truth = labels if labels is not None else getattr(dataset, "labels", None)
    if not isinstance(truth, Labels):
        raise DataError(
            say("dataset", "carry `labels`", "a data set without them", hint("Pass {labels=}."))
        )
    return truth


def _network(model: Model, remedy: Remedy) -> nn.Module:
    net = copy.deepcopy(model) if isinstance(model, nn.Module) else model()
    if not isinstance(net, nn.Module):
        raise UsageError(say("model", "be a module or a callable that returns one", type(net)))
    *_, last = net.modules()
    if remedy.head == "cosine" and not (isinstance(last, CosineHead) and last.scale == 1.0):
        raise UsageError(
            say(
                "model",
                "end in `equipoise.models.CosineHead(width, num_classes, scale=1)`",
                f"{last} last",
                f"'{remedy.name}' is made for cosines.",
            )
        )
    return net


def _to_trial(module: RemedyModule, whole_config: dict[str, Any]) -> Trial:
    run_data, record, remedy = module.run_data, module.record, module.remedy.final
    split, truth = run_data.split, run_data.truth
    trained_on = truth[split.train]
    first = [row for row in record.history if "stage" not in row]
    rows: dict[SplitName, Any] = {"val": split.val, "test": split.test}
    scores: dict[str, Scores] = {
        part: remedy.to_scores(
            module.pixel_labels.get(part) or with_ids(truth, rows[part]), module.outputs[part], part
        )
        for part in rows
        if part in module.outputs
    }
    return Trial(
        method=module.remedy.name,
        seed=run_data.seed,
        config=whole_config,
        n_train=int(split.train.size),
        n_val=int(split.val.size),
        train_counts={n: int(c) for n, c in zip(truth.names, trained_on.counts, strict=True)},
        histogram=realised_histogram(trained_on, record.drawn.numpy()),
        history=record.history,
        label_history=record.label_history,
        scores=scores,
        selection={
            "metric": run_data.metric_name,
            "epoch": record.best_epoch,
            "value": record.best_value,
            "last_value": first[-1]["val_metric"],
            **record.second_stage,
        },
    )


def _tell_chance(trial: Trial, folder: Path | None) -> None:
    """Add to the findings of a trial, or warn where it has no folder, that it ranks by chance."""
    from equipoise.training.watch import FINDINGS

    found = chance_findings(trial.scores["val"]) or []
    if not found or place()[0] > 0:
        return
    if folder is None:
        warnings.warn(f"'{trial.method}': {found[0].message}", NoSkillWarning, stacklevel=4)
        return
    file = folder / FINDINGS
    before = load_findings(file) if file.exists() else []
    save_findings([*(f for f in before if f.code != found[0].code), *found], file)


def _leave_group(joined_before: bool) -> None:
    """End the process group that training began: left open, some processes abort at exit."""
    if place()[1] > 1 and not joined_before:
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
