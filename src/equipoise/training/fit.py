"""Train one model with one remedy on Lightning, and write what came of it."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils.data import Dataset

from equipoise._core.rng import child_seed
from equipoise._core.words import say
from equipoise.artifacts import Labels, Scores, Split, Trial
from equipoise.artifacts.finding import load_findings, save_findings
from equipoise.artifacts.scores import Part
from equipoise.artifacts.trial import trial_folder
from equipoise.diagnosis.score_checks import chance_findings
from equipoise.errors import DataError, MissingExtraError, NoSkillWarning, UsageError
from equipoise.models import CosineHead
from equipoise.training.facts import TRIAL_SCHEMA, trial_facts
from equipoise.training.faults import plain_faults, require_device, require_precision
from equipoise.training.feed import Collate, Feed
from equipoise.training.folder import write_trial
from equipoise.training.folds import check_folds, pool_folds, split_folds
from equipoise.training.lessons import BATCHES, require_lessons
from equipoise.training.options import TrainingOptions
from equipoise.training.ranks import place
from equipoise.training.remedy import Remedy
from equipoise.training.selection import Monitor, realised_histogram
from equipoise.training.targets import with_ids

if TYPE_CHECKING:
    from equipoise.training.module import Augment, RemedyModule

_SLOTS = ("sampler", "augmentation", "mixing", "schedule", "second_stage")
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
        model: Maps a batch to logits (N, C). A callable that returns a module is called under
            ``seed``, so that the seed decides the initialisation; a module is copied and trained
            from where it stands.
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
        labels: The truth of all rows; None takes ``dataset.labels``.
        seed: Initialisation, order of data, sampler, augmentation and dropout.
        augment: Called as ``augment(x, seed=...)`` on each training batch, on the device; for
            images an :class:`equipoise.data.Augmentation` that is built.
        collate: Makes a batch of items; None takes ``dataset.collate`` where there is one, and
            else stacks tensors. :func:`equipoise.data.pad_batch` pads sequences.
        out: Folder under which the trial's folder is written, or None.
        resume: With ``out``: return a finished trial of the same config as it stands, and go on
            with one that was stopped. False starts again.
        progress: Show a progress bar on stderr; None shows it in a terminal.
        config: Further facts for the trial's record; they enter its hash.
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
    require_device(options)
    truth = _truth(dataset, labels)
    if collate is None:
        collate = getattr(dataset, "collate", None)
    rest: dict[str, Any] = {"resume": resume, "progress": progress, "augment": augment}
    if folds is None:
        made = remedy if isinstance(remedy, Remedy) else remedy(truth[split.train])
        feed = Feed(dataset, truth, split, made, options, seed, collate, monitor)
        return _fit(model, feed, out=out, config=config, **rest)
    make = check_folds(remedy, options)
    parts = split_folds(truth, split, folds, seed)
    feeds = [
        Feed(dataset, truth, part, make(truth[part.train]), options, seed, collate, monitor)
        for part in parts
    ]
    return _fit_folds(model, feeds, out=out, config=config, **rest)


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
    feed = Feed(dataset, _truth(dataset, labels), split, remedy, options, seed)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(child_seed(seed, "init"))
        return trial_facts(feed, _network(model, remedy), config)


def _fit(
    model: Model,
    feed: Feed,
    *,
    augment: Augment | None,
    out: str | Path | None,
    resume: bool,
    progress: bool | None,
    config: Mapping[str, Any] | None,
) -> Trial:
    from equipoise.training.module import RemedyModule
    from equipoise.training.stages import clear_checkpoints, run_stages
    from equipoise.training.trackers import require_trackers

    remedy, seed = feed.remedy, feed.seed
    remedy.require_supported("fit", _SLOTS)
    require_trackers(feed.options.trackers)
    joined_before = torch.distributed.is_available() and torch.distributed.is_initialized()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(child_seed(seed, "init"))
        network = _network(model, remedy)
        facts = trial_facts(feed, network, config)
        folder = None if out is None else Path(out) / trial_folder(remedy.name, seed, facts)
        if folder is not None and resume and (folder / "trial.json").exists():
            return Trial.load(folder)
        with plain_faults(feed.options, folder):
            if feed.options.precision == "bf16-mixed":
                require_precision(network, feed.few(), feed.options)
            size = feed.options.rows_per_pass(place()[1])
            first = feed.split.train[feed.preview(size * BATCHES)]
            require_lessons(remedy, feed.truth[first], size)
            module = RemedyModule(network, feed, augment)
            run_stages(module, folder=folder, resume=resume, progress=progress)
            trial = _to_trial(module, facts)
            _tell_chance(trial, folder)
            if out is not None and folder is not None and place()[0] == 0:
                trial = write_trial(trial, module.record.best, Path(out))
                clear_checkpoints(folder)
            _leave_group(joined_before)
    return trial


def _fit_folds(
    model: Model,
    feeds: list[Feed],
    *,
    out: str | Path | None,
    config: Mapping[str, Any] | None,
    resume: bool,
    **rest: Any,
) -> Trial:
    first = feeds[0]
    facts = {
        "trial_schema": TRIAL_SCHEMA,
        "engine": "fit",
        "method": first.remedy.name,
        "settings": dict(first.remedy.settings),
        "seed": first.seed,
        "training": first.options.decisive,
        "folds": [feed.split.fingerprint for feed in feeds],
        "labels": first.truth.fingerprint,
        **({} if first.monitor is None else {"monitor": first.monitor.name}),
        **(config or {}),
    }
    folder = None
    if out is not None:
        folder = Path(out) / trial_folder(first.remedy.name, first.seed, facts)
        if resume and (folder / "trial.json").exists():
            return Trial.load(folder)
    trials = [
        _fit(model, feed, out=folder, config={**(config or {}), "fold": k}, resume=resume, **rest)
        for k, feed in enumerate(feeds)
    ]
    pooled = pool_folds(trials, [feed.split for feed in feeds], first.truth, facts)
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
            say("dataset", "carry `labels`", "a data set without them", "Pass labels=.")
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


def _to_trial(module: RemedyModule, facts: dict[str, Any]) -> Trial:
    feed, record, remedy = module.feed, module.record, module.remedy.final
    split, truth = feed.split, feed.truth
    trained_on = truth[split.train]
    first = [row for row in record.history if "stage" not in row]
    rows: dict[Part, Any] = {"val": split.val, "test": split.test}
    scores: dict[str, Scores] = {
        part: remedy.to_scores(with_ids(truth, rows[part]), module.outputs[part], part)
        for part in rows
        if part in module.outputs
    }
    return Trial(
        method=module.remedy.name,
        seed=feed.seed,
        config=facts,
        n_train=int(split.train.size),
        n_val=int(split.val.size),
        train_counts={n: int(c) for n, c in zip(truth.names, trained_on.counts, strict=True)},
        histogram=realised_histogram(trained_on, record.drawn.numpy()),
        history=record.history,
        label_history=record.label_history,
        scores=scores,
        selection={
            "metric": feed.metric_name,
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
