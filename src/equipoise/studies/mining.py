"""One run of mining from its study: rows, split, pools, rounds, review sheet."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.utils.data import Dataset

from equipoise._core.files import write_text
from equipoise._core.messages import Argument, Message, closest, say
from equipoise._core.progress import Progress
from equipoise.artifacts import Labels
from equipoise.data import ArrayDataset
from equipoise.errors import DataError, UsageError
from equipoise.mining import (
    ArrayPool,
    DatasetPool,
    FitTrainer,
    Mined,
    MiningOptions,
    mine_hard_negatives,
    write_review,
)
from equipoise.mining.pools import Pool
from equipoise.mining.review import Review
from equipoise.mining.scoring import place
from equipoise.report.review import growth_picture
from equipoise.studies.network import TrainPlan, make_augmentation, plan_training
from equipoise.studies.network_rows import TrainRows, load_rows
from equipoise.studies.schema import MIN_EPOCHS, STEPS, Study


@dataclass(frozen=True, eq=False)
class MinePlan:
    """What one run of mining will do: everything that is known before its first step.

    Args:
        training: Rows, split, network and remedy.
        options: How negatives are mined.
        pool: The training part.
        validation: The validation part, which is never mined.
        test: The test part, or None.
        negative: What the negatives are called.
    """

    training: TrainPlan
    options: MiningOptions
    pool: Pool
    validation: Pool
    test: Pool | None
    negative: str

    @property
    def n_first(self) -> int:
        """Negatives that are drawn at random to begin with."""
        wanted = round(self.options.ratio * self.pool.positives().size)
        return max(1, min(wanted, self.pool.n_negative))


def plan_mining(study: Study, *, allow_code: bool = False) -> MinePlan:
    """Return the plan of a study: data read, rows split, network and remedy tried on one batch.

    Args:
        study: From :func:`equipoise.studies.default_study.mine_study_from`.
        allow_code: Whether a network given as "module:callable" may run.

    Raises:
        DataError: the data are not what the study says, several labels among them.
        UsageError: a network, method, option or class that does not exist or does not fit.
        LeakageError: rows or groups that stand on both sides.
    """
    options = MiningOptions.from_mapping(study.mining)
    rows, background, negative = _one_sided(load_rows(study.data), study.negative)
    plan = plan_training(study, allow_code=allow_code, rows=rows)
    whole = _pool(plan, background)
    split = plan.split
    if "epochs" not in study.training:
        pool = whole[split.train]
        first = pool.positives().size * (1 + options.ratio)
        plan = replace(plan, options=replace(plan.options, epochs=_epochs(plan, first)))
    return MinePlan(
        plan,
        options,
        whole[split.train],
        whole[split.val],
        whole[split.test] if split.test.size else None,
        negative,
    )


def _epochs(plan: TrainPlan, rows: float) -> int:
    """Return enough epochs for 2,000 steps of the first round, as a comparison takes."""
    per_epoch = math.ceil(min(rows, plan.split.train.size) / plan.options.batch_size)
    return max(MIN_EPOCHS, math.ceil(STEPS / per_epoch))


def _pool(plan: TrainPlan, background: int) -> Pool:
    rows = plan.rows
    if isinstance(rows.dataset, ArrayDataset):
        # Read many at a time; the network's first step scales them, as it does for items.
        return ArrayPool(rows.dataset.features, plan.labels, background=background)
    return DatasetPool(
        rows.dataset,
        plan.labels,
        background=background,
        collate=rows.collate,
        num_workers=plan.options.num_workers,
    )


def _one_sided(rows: TrainRows, negative: str | None) -> tuple[TrainRows, int, str]:
    """Return rows of one binary label where there are two classes; index and name of negatives."""
    labels = rows.labels
    if labels is None:
        raise DataError(say("data", "name its labels", None))
    if labels.kind == "multilabel":
        if len(labels.names) != 1:
            do: str = Message("Mine one at a time: ", Argument("labels", labels.names[0]), ".")
            raise DataError(say("labels", "be one label or classes", list(labels.names), do))
        if negative is not None:
            do = "They are the rows where it is 0."
            raise UsageError(say("negative", "be left out for one label", repr(negative), do))
        return rows, 0, f"without '{labels.names[0]}'"
    if negative is not None and negative not in labels.names:
        do = closest(negative, labels.names)
        raise UsageError(say("negative", f"be one of {list(labels.names)}", repr(negative), do))
    commonest = int(np.argmax(labels.counts))
    background = commonest if negative is None else labels.names.index(negative)
    if len(labels.names) > 2:
        return rows, background, labels.names[background]
    name = labels.names[1 - background]
    hot = Labels.from_array(
        (labels.values != background).astype(np.int8),
        kind="multilabel",
        names=[name],
        ids=labels.ids,
        groups=labels.groups,
    )
    dataset: Dataset[Any]
    if isinstance(rows.dataset, ArrayDataset):
        dataset = ArrayDataset(rows.dataset.features, hot)
    else:
        dataset = _Relabelled(rows.dataset, hot)
    return replace(rows, dataset=dataset, labels=hot), 0, labels.names[background]


class _Relabelled(Dataset[Any]):
    """The items of a data set with one binary label as target."""

    def __init__(self, dataset: Dataset[Any], labels: Labels) -> None:
        self.dataset, self.labels = dataset, labels
        self.targets = labels.values.astype(np.float32)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[index][0], torch.from_numpy(self.targets[index])


def run_mining(
    plan: MinePlan,
    *,
    out: str | Path,
    resume: bool = True,
    progress: Progress | None = None,
) -> tuple[Mined, Review | None]:
    """Mine as the plan says, or go on with it, or return it where it is finished.

    Beside what :func:`equipoise.mining.mine_hard_negatives` writes there are growth.svg and, where
    anything was mined, review.html and review.csv.

    Args:
        plan: From :func:`plan_mining`.
        out: The run's folder is made under it.
        resume: Use what is there; False begins again.
        progress: Called with a word, what is done and what is to do.

    Returns:
        What came of mining, and the review sheet: None where nothing was mined, and for all ranks
        but the first.

    Raises:
        TrainingError: what `fit` could not go on with.
    """
    training = plan.training
    trainer = FitTrainer(
        training.make_network,
        remedy=training.make_remedy,
        options=training.options,
        test=plan.test,
        augment=make_augmentation(training.study),
        config=training.config,
        progress=False,
    )
    job = training.job
    config = {
        "training": training.options.decisive,
        "arm": [job.arm.method, job.setting.settings],
        "facts": training.config,
    }
    with _ranks() as is_first:
        mined = mine_hard_negatives(
            trainer,
            plan.pool,
            plan.validation,
            options=plan.options,
            seed=training.job.seed,
            out=out,
            resume=resume,
            config=config,
            progress=progress if is_first else None,
        )
        return mined, _review(plan, mined) if is_first else None


@contextmanager
def _ranks() -> Iterator[bool]:
    """Join the processes that torchrun started, if it did; yield whether this is the first."""
    joins = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized()
    if joins:
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield place()[0] == 0
    finally:
        if joins:
            dist.destroy_process_group()


def _review(plan: MinePlan, mined: Mined) -> Review | None:
    """Write how the training set grew, and the review sheet where anything was mined."""
    training = plan.training
    assert mined.folder is not None  # noqa: S101  # it was mined into one
    growth = growth_picture(mined.history, f"Mining: {training.study.title}")
    write_text(mined.folder / "growth.svg", growth)
    if not len(mined.book):
        return None
    title = f"Review sheet: {training.study.title}"
    return write_review(mined.book, plan.pool, mined.folder, growth=growth, title=title)
