"""The stages of one training: the first, and what follows on features that stand still."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from equipoise._core.files import atomic_path
from equipoise._core.messages import say
from equipoise._core.rng import child_seed
from equipoise.artifacts import Correction
from equipoise.errors import UsageError
from equipoise.training.late import (
    SecondStage,
    centre_means,
    fold_scales,
    last_layer,
    prepare_head,
    scale_rows,
)
from equipoise.training.module import RemedyModule
from equipoise.training.ranks import place, sum_over_ranks
from equipoise.training.run_data import RunData
from equipoise.training.trainer import read_checkpoint, run_trainer

_FIRST, _TRAINED, _SECOND = "resume.ckpt", "first_stage.ckpt", "second_stage.ckpt"


def run_stages(
    module: RemedyModule, *, folder: Path | None, resume: bool, progress: bool | None
) -> None:
    """Train the first stage and, where the remedy has one, the second.

    ``module`` holds the final weights and outputs afterwards.

    Args:
        module: The first stage.
        folder: Where checkpoints go; None writes none.
        resume: Go on from what is there; False removes it first.
        progress: Show a progress bar; None shows it in a terminal.

    Raises:
        UsageError: a second stage that is none of the package's, is for classes alone, or does
            not fit the network; said before the first stage is trained.
    """
    stage = _checked(module)
    if folder is not None and not resume:
        clear_checkpoints(folder)
    if stage is not None and not stage.is_trained:
        module.finish = lambda m: _rebuild(m, stage)
    trained = None if folder is None else folder / _TRAINED
    # Asked once: another process may write it while this one is on its way.
    state = None if trained is None else read_checkpoint(trained)
    goes_on = state is not None
    if state is not None:
        _load_trained(module, state)
    else:
        checkpoint = None if folder is None else folder / _FIRST
        run_trainer(module, checkpoint=checkpoint, progress=progress)
    if stage is not None and stage.is_trained:
        if trained is not None and not goes_on:
            _save_trained(module, trained)
        _train_head(module, stage, folder, progress)


def _checked(module: RemedyModule) -> SecondStage | None:
    """Return the second stage, once it is known to fit labels and network."""
    stage = module.remedy.second_stage
    if stage is None:
        return None
    if not isinstance(stage, SecondStage):
        do = "Take equipoise.training.SecondStage."
        raise UsageError(say("second_stage", "be one that `fit` knows", type(stage), do))
    kind = module.run_data.truth.kind
    if not stage.is_trained and kind != "multiclass":
        do = "Take 'crt', or thresholds per label: equipoise.tune."
        raise UsageError(say("second_stage", f"be for {kind} labels", f"'{stage.kind}'", do))
    last_layer(module.model, stage.kind, _example(module.run_data, module.model))
    return stage


def clear_checkpoints(folder: Path) -> None:
    """Remove what an unfinished run left."""
    if place()[0] == 0:
        for name in (_FIRST, _TRAINED, _SECOND):
            (folder / name).unlink(missing_ok=True)


def _train_head(
    module: RemedyModule, stage: SecondStage, folder: Path | None, progress: bool | None
) -> None:
    first = module.run_data
    torch.manual_seed(child_seed(first.seed, "second stage"))
    stage_one = module.model.cpu()
    network = prepare_head(stage_one, stage, _example(first, stage_one))
    seed = child_seed(first.seed, "second stage") % 2**31
    run_data = RunData(
        first.dataset,
        first.truth,
        first.split,
        stage.remedy,
        stage.options(first.options),
        seed,
        first.collate,
        first.monitor,
    )
    second = RemedyModule(network, run_data, module.augment)
    checkpoint = None if folder is None else folder / _SECOND
    run_trainer(second, checkpoint=checkpoint, progress=progress)
    module.model = fold_scales(second.model)
    module.outputs = second.outputs
    record, later = module.record, second.record
    record.keep(module.model)
    done = len(record.history)
    record.history += [{**r, "epoch": done + r["epoch"], "stage": 2} for r in later.history]
    record.label_history += [{**r, "epoch": done + r["epoch"]} for r in later.label_history]
    record.drawn = record.drawn + later.drawn
    record.second_stage = {
        "second_stage": stage.kind,
        "second_stage_epoch": done + later.best_epoch,
        "second_stage_value": later.best_value,
    }


def _load_trained(module: RemedyModule, state: dict[str, Any]) -> None:
    module.on_load_checkpoint(state)
    # The trainer, which has not run here, would have turned the weights into this type.
    if module.options.precision == "64-true":
        module.model.double()
    module.model.load_state_dict(module.record.best)


def _save_trained(module: RemedyModule, file: Path) -> None:
    if place()[0] == 0:
        state: dict[str, Any] = {}
        module.on_save_checkpoint(state)
        with atomic_path(file) as temporary:
            torch.save(state, temporary)
    if place()[1] > 1:
        torch.distributed.barrier()


def _example(run_data: RunData, network: nn.Module) -> Any:
    """Return a batch of one row, as the network takes it."""
    rows = Subset(run_data.dataset, run_data.split.val[:1].tolist())
    # A generator of its own: a loader without one draws from torch's state.
    loader = DataLoader(
        rows, batch_size=1, collate_fn=run_data.collate, generator=torch.Generator()
    )
    x, _ = next(iter(loader))
    weight = next(network.parameters())

    def move(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: move(part) for key, part in value.items()}
        if isinstance(value, (tuple, list)):
            return tuple(move(part) for part in value)
        if not isinstance(value, Tensor):
            return value
        return value.to(weight) if value.is_floating_point() else value.to(weight.device)

    return move(x)


# Stages that are computed, at the end of the first while its devices are still there.


def _rebuild(module: RemedyModule, stage: SecondStage) -> None:
    example = _example(module.run_data, module.model)
    head = cast("nn.Linear", last_layer(module.model, stage.kind, example))
    if stage.kind == "tau_norm":
        _normalise(module, head, stage)
    else:
        _put_means(module, head)
    module.record.keep(module.model)


def _normalise(module: RemedyModule, head: nn.Linear, stage: SecondStage) -> None:
    run_data = module.run_data
    labels = run_data.truth[run_data.split.val]
    logits = module.compute_outputs(run_data.split.val)
    weight = head.weight.detach().double().cpu().numpy()
    bias = None if head.bias is None else head.bias.detach().double().cpu().numpy()
    keep = stage.bias == "keep"
    as_is = Correction(labels.kind, exactness="none")
    values = {
        tau: run_data.measure(scale_rows(logits, weight, bias, tau, keep_bias=keep), labels, as_is)
        for tau in sorted(stage.taus)
    }
    best = max(values.values())
    tau = next(tau for tau, value in values.items() if value == best)
    with torch.no_grad():
        norms = head.weight.norm(dim=1, keepdim=True)
        head.weight.div_(torch.where(norms > 0, norms, 1.0) ** tau)
        if not keep and head.bias is not None:
            head.bias.zero_()
    module.record.second_stage = {
        "second_stage": "tau_norm",
        "tau": tau,
        "second_stage_value": best,
    }


def _put_means(module: RemedyModule, head: nn.Linear) -> None:
    """Make a linear layer say how near a row is to the mean of each class."""
    run_data = module.run_data
    weight, bias = centre_means(_class_means(module, head, run_data.truth.num_classes))
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias = nn.Parameter(bias.to(head.weight))
    value = run_data.measure(
        module.compute_outputs(run_data.split.val),
        run_data.truth[run_data.split.val],
        Correction("multiclass", exactness="none"),
    )
    module.record.second_stage = {"second_stage": "ncm", "second_stage_value": value}


def _class_means(module: RemedyModule, head: nn.Linear, classes: int) -> Tensor:
    """Return the mean training features of each class, (C, D); NaN for a class without rows."""
    run_data = module.run_data
    sums = torch.zeros(classes, head.in_features + 1, dtype=torch.float64)
    kept: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, given: kept.append(given[0].double().cpu()))
    mine = run_data.split.train[place()[0] :: place()[1]]
    truth = torch.from_numpy(np.ascontiguousarray(run_data.truth.values[mine]))
    done = 0
    try:
        for _ in module.run_batches(run_data.split.train):
            features = kept.pop()
            rows = torch.cat([features, torch.ones(len(features), 1, dtype=torch.float64)], 1)
            sums.index_add_(0, truth[done : done + len(rows)], rows)
            done += len(rows)
    finally:
        hook.remove()
    total = sum_over_ranks(sums, module.device)
    return total[:, :-1] / total[:, -1:]
