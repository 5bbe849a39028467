"""What ``fit`` trains: a network with a remedy's loss, its rate and average, the epoch kept."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from equipoise._core.messages import say
from equipoise._core.rng import child_seed
from equipoise._core.targets import IGNORE_INDEX
from equipoise.artifacts import Labels
from equipoise.artifacts.labels import with_ids
from equipoise.errors import ShapeError, TrainingError
from equipoise.training.dense import PixelSample
from equipoise.training.options import TrainingOptions
from equipoise.training.ranks import gather_rows, place, seed_device, sum_over_ranks
from equipoise.training.record import Record
from equipoise.training.remedy import start_epoch
from equipoise.training.run_data import Rows, RunData
from equipoise.training.selection import goes_before
from equipoise.training.targets import divisor as divisor_of, mark_unknown, require_targets


class Rate:
    """The factor on the learning rate at each optimizer step, counted from 0.

    Args:
        options: Schedule, warm-up and length.
        steps_per_epoch: Optimizer steps of one epoch.

    The rise of the warm-up multiplies the schedule. Milestones and the steps of "exponential" and
    "plateau" fall on the beginning of an epoch.

    Example:
        >>> options = TrainingOptions(epochs=10, schedule="multistep", milestones=(0.5, 0.8))
        >>> rate = Rate(options, steps_per_epoch=4)
        >>> [round(rate(4 * epoch), 2) for epoch in (0, 4, 5, 8)]
        [1.0, 1.0, 0.1, 0.01]
    """

    def __init__(self, options: TrainingOptions, steps_per_epoch: int) -> None:
        self._options, self._steps_per_epoch = options, max(steps_per_epoch, 1)
        self.best, self.waited, self.plateaus = -math.inf, 0, 0
        self.best_loss = math.inf

    def __call__(self, step: int) -> float:
        """Return the factor for the step with this number."""
        options = self._options
        done = step / self._steps_per_epoch
        factor = self._fall(done)
        if done < options.warmup:
            factor *= (step + 1) / (options.warmup * self._steps_per_epoch + 1)
        return factor

    def _fall(self, done: float) -> float:
        options, epoch = self._options, int(done)
        if options.schedule == "cosine":
            return (1 + math.cos(math.pi * min(done / options.epochs, 1.0))) / 2
        if options.schedule == "multistep":
            passed = sum(epoch >= round(m * options.epochs) for m in options.milestones)
            return float(options.factor**passed)
        if options.schedule == "exponential":
            return float(options.factor**epoch)
        return float(options.factor**self.plateaus)

    def saw(self, value: float, loss: float) -> None:
        """Take note of an epoch's validation metric and loss; a NaN metric counts as no rise."""
        if not math.isnan(value) and goes_before(value, loss, self.best, self.best_loss):
            self.best, self.best_loss, self.waited = value, loss, 0
            return
        self.waited += 1
        if self.waited >= self._options.plateau_patience and self._options.schedule == "plateau":
            self.plateaus, self.waited = self.plateaus + 1, 0

    def state_dict(self) -> dict[str, float]:
        """Return what the validation metric has decided so far."""
        chosen = {"best": self.best, "best_loss": self.best_loss}
        return chosen | {"waited": self.waited, "plateaus": self.plateaus}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from what :meth:`state_dict` returned."""
        self.best, self.best_loss = state["best"], state["best_loss"]
        self.waited, self.plateaus = int(state["waited"]), int(state["plateaus"])


class WeightAverage:
    """Exponential moving average of the trainable weights of a network.

    Args:
        network: Its parameters are followed; buffers, such as those of batch norm, are not.
        decay: Weight of the past per step. The n-th update uses min(decay, (1 + n) / (10 + n)),
            so that the start does not linger.

    Example:
        >>> net = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.ones_(net.weight)
        >>> average = WeightAverage(net, decay=0.9)
        >>> _ = nn.init.zeros_(net.weight)
        >>> average.update()
        >>> with average.in_place():
        ...     print(round(net.weight.item(), 3))
        0.182
        >>> net.weight.item()
        0.0
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self._live = [p for p in network.parameters() if p.requires_grad]
        self._mean = [p.detach().clone() for p in self._live]

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of now into the average."""
        self.updates += 1
        self._mean = [m.to(p) for m, p in zip(self._mean, self._live, strict=True)]
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self._mean, [p.detach() for p in self._live], 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average into the network while the block runs."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the average and the weights of the network; the next call undoes it."""
        for mean, live in zip(self._mean, self._live, strict=True):
            kept = live.detach().clone()
            live.copy_(mean)
            mean.copy_(kept)

    def state_dict(self) -> dict[str, int | list[Tensor]]:
        """Return the average and how many updates it has had."""
        return {"updates": self.updates, "mean": [m.detach().cpu() for m in self._mean]}

    def load_state_dict(self, state: dict[str, int | list[Tensor]]) -> None:
        """Go on from what :meth:`state_dict` returned."""
        updates, mean = state["updates"], state["mean"]
        if isinstance(updates, int) and isinstance(mean, list):
            self.updates, self._mean = updates, [m.clone() for m in mean]


Augment = Callable[..., Any]
Outputs = NDArray[np.float64]


class RemedyModule(pl.LightningModule):
    """Trains a network with a remedy and keeps the epoch that validates best.

    Args:
        network: Maps a batch of inputs to outputs (N, C).
        run_data: Data, remedy and options.
        augment: Called as ``augment(x, seed=...)`` on each training batch.

    Randomness is seeded anew for each batch, from seed, epoch, batch and rank: so a run that goes
    on from a checkpoint takes the same steps as one that was never stopped.
    """

    def __init__(
        self, network: nn.Module, run_data: RunData, augment: Augment | None = None
    ) -> None:
        super().__init__()
        self.model, self.run_data, self.augment = network, run_data, augment
        self.options, self.remedy = run_data.options, run_data.remedy
        self.loss = copy.deepcopy(self.remedy.loss)
        late = run_data.deferred
        self.late_loss = copy.deepcopy(late.loss) if late and late.loss is not None else None
        self.record = Record(run_data)
        self.outputs: dict[str, Outputs] = {}
        self.finish: Callable[[RemedyModule], None] | None = None
        ema = self.options.ema
        self.average = None if ema is None else WeightAverage(network, ema)
        self.rate: Rate | None = None
        self._restored: dict[str, Any] = {}
        self._run: Callable[..., Tensor] = network
        # A dict, since a module looks long at each attribute that is set.
        self._sums = {part: torch.zeros(2, dtype=torch.float64) for part in ("train", "val")}
        self._divisor = torch.zeros((), dtype=torch.float64)
        self._checked: set[str] = set()
        self._seen: list[Tensor] = []
        self._pixels = 1
        self._sample: PixelSample | None = None
        self.pixel_labels: dict[str, Labels] = {}

    # Data: made here, because only now is it known how many ranks there are.

    def train_dataloader(self) -> DataLoader[Any]:
        """Return this rank's batches, from where a checkpoint left off."""
        self.run_data.set_epoch(self.current_epoch)
        loader = self.run_data.train_loader(self._pin)
        done = self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
        if 0 < done < len(loader):
            self.run_data.order.skip = done * self.options.rows_per_pass(place()[1])
        return loader

    def val_dataloader(self) -> DataLoader[Any]:
        """Return this rank's validation batches."""
        return self.run_data.eval_loader(self.run_data.split.val, self._pin)

    @property
    def _pin(self) -> bool:
        return self.device.type == "cuda"

    # Training.

    @property
    def _shares(self) -> int:
        return self.options.accumulation * place()[1]

    def on_fit_start(self) -> None:
        """Compile, where asked."""
        if self.options.compile:
            self._run = torch.compile(self.model)

    def on_train_epoch_start(self) -> None:
        """Say which epoch begins to the order of rows, and to a loss that asks for it."""
        self.run_data.set_epoch(self.current_epoch)
        start_epoch(self._active_loss(), self.current_epoch)

    def _active_loss(self) -> nn.Module:
        late = self.late_loss is not None and self.current_epoch >= self.record.late_from
        return self.late_loss if late and self.late_loss is not None else self.loss

    def training_step(self, batch: tuple[Any, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of one batch, or of its part of what is accumulated."""
        x, target = batch[0], self._read(batch[1], "train")
        seed = child_seed(self.run_data.seed, "batch", self.current_epoch, batch_idx, place()[0])
        seed_device(seed, self.device)
        if self.augment is not None:
            x = self.augment(x, seed=seed)
        if self.remedy.augmentation is not None:
            x = self.remedy.augmentation(x, target, seed=child_seed(seed, "remedy"))
        if self.remedy.mixing is not None:
            x, target = self.remedy.mixing(x, target, torch.Generator().manual_seed(seed))
        loss = self._active_loss()
        outputs = _full(self._run(x))
        if "width" not in self._checked:
            self._checked.add("width")
            self._require_width(outputs)
        value: Tensor = loss(outputs, target)
        seen = value.detach()
        if batch_idx % 50 == 0 or seen.device.type == "cpu":
            self._require_finite(seen)
        divisor = divisor_of(loss, target).to(seen)
        self._add("train", seen, divisor)
        if self._shares == 1:
            return value
        self._divisor = self._divisor.to(divisor.device) + divisor.double()
        return value * (divisor / self._usual_divisor)

    def _read(self, target: Tensor, part: str) -> Tensor:
        """Return targets with unknown entries as NaN; the first batch is looked at closely."""
        loss = self._active_loss()
        if getattr(loss, "reads_targets", False):
            return target
        if part not in self._checked:
            self._checked.add(part)
            index = getattr(loss, "ignore_index", IGNORE_INDEX)
            truth, layout = self.run_data.truth, self.run_data.layout
            kind = truth.kind if layout is None else layout.kind
            require_targets(target, kind, truth.num_classes, int(index))
        return mark_unknown(target)

    def _require_width(self, outputs: Tensor) -> None:
        labels, layout = self.run_data.truth, self.run_data.layout
        if layout is not None:
            layout.require_width(outputs)
            self._pixels = outputs.numel() // max(len(outputs) * labels.num_classes, 1)
            return
        if outputs.ndim == 2 and outputs.shape[1] != labels.num_classes:
            each = "class" if labels.kind == "multiclass" else "label"
            do = f"Give its last layer {labels.num_classes} outputs."
            if outputs.shape[1] == 1:
                do += ' One output is for one label: kind="multilabel".'
            expected = f"return one output per {each} = {labels.num_classes}"
            raise ShapeError(say("model", expected, f"{outputs.shape[1]}", do))

    def _add(self, part: str, value: Tensor, divisor: Tensor) -> None:
        """Take a mean and what it divides by into the sums of the epoch."""
        seen = torch.stack([value * divisor, divisor]).double()
        self._sums[part] = self._sums[part].to(seen.device) + seen

    @property
    def mean_loss(self) -> float | None:
        """The mean loss of this epoch so far; None before the first batch."""
        total, divisor = self._sums["train"].tolist()
        return total / divisor if divisor else None

    @property
    def _usual_divisor(self) -> float:
        """A number of the size of a part's divisor: gradients keep a size that halves can hold."""
        labels = self.run_data.truth
        kind = labels.kind if self.run_data.layout is None else self.run_data.layout.kind
        width = labels.num_classes if kind == "multilabel" else 1
        return float(self.options.rows_per_pass(place()[1]) * width * self._pixels)

    def on_before_optimizer_step(self, _optimizer: Any) -> None:
        """Divide summed gradients by what the loss of the whole batch divides by."""
        if self._shares == 1:
            return
        total = sum_over_ranks(self._divisor.clone(), self.device)
        self._divisor.zero_()
        factor = self._shares * self._usual_divisor / total.clamp_min(1e-300)
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(factor.to(parameter.grad.dtype))

    def optimizer_step(self, *given: Any, **named: Any) -> None:
        """Take a step, and follow the weights."""
        super().optimizer_step(*given, **named)
        if self.average is not None:
            self.average.update()

    # Validation.

    def on_validation_epoch_start(self) -> None:
        """Put averaged weights in place."""
        self._sample = self._new_sample(self.run_data.split.val)
        self._require_finite(self._sums["train"][0])
        if self.average is not None:
            self.average.swap()

    def validation_step(self, batch: tuple[Any, Tensor], _batch_idx: int) -> None:
        """Keep the outputs of one batch."""
        x, target = batch[0], self._read(batch[1], "val")
        outputs, loss = _full(self.model(x)), self._active_loss()
        value, divisor = loss(outputs, target).detach(), divisor_of(loss, target)
        self._add("val", value, divisor.to(value))
        if self._sample is not None:
            self._sample.add(outputs, target)
            return
        self._seen.append(outputs.detach().double().cpu())

    def _new_sample(self, rows: Rows) -> PixelSample | None:
        """Return what keeps pixels of some images; None where outputs are rows."""
        layout, truth = self.run_data.layout, self.run_data.truth
        if layout is None:
            return None
        ids = with_ids(truth, rows).ids
        seed = child_seed(self.run_data.seed, "pixels")
        return None if ids is None else PixelSample(layout, ids, seed)

    def on_validation_epoch_end(self) -> None:
        """Judge the epoch on all validation rows at once, and keep the best weights."""
        labels = None
        if self._sample is None:
            outputs = self._whole(self._seen, self.run_data.split.val)
        else:
            outputs, labels = self._sample.take()
            self._sample = None
        if not np.isfinite(outputs).all():
            raise self._lost("output")
        loss, val_loss = self._mean_losses()
        rate = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]
        numbers = {"loss": loss, "val_loss": val_loss, "lr": rate}
        value = self.record.take(self.model, outputs, self.run_data.order.counts(), numbers, labels)
        self.trainer.should_stop = self.record.is_out_of_patience
        if self.average is not None:
            self.average.swap()
        if self.rate is not None:
            self.rate.saw(value, val_loss)

    def _mean_losses(self) -> tuple[float, float]:
        means = []
        for sums in self._sums.values():
            total, divisor = sum_over_ranks(sums, self.device).tolist()
            means.append(total / divisor if divisor else 0.0)
            sums.zero_()
        return means[0], means[1]

    # The end: scores of the chosen epoch, while the devices are still there.

    def on_train_end(self) -> None:
        """Load the chosen weights and compute the outputs of validation and test rows."""
        if not self.record.best:
            return
        self.model.load_state_dict(self.record.best)
        if self.finish is not None:
            self.finish(self)
        split = self.run_data.split
        for part, rows in (("val", split.val), ("test", split.test)):
            if rows.size and self.run_data.layout is not None:
                self.outputs[part], self.pixel_labels[part] = self._compute_pixels(rows)
            elif rows.size:
                self.outputs[part] = self.compute_outputs(rows)

    def compute_outputs(self, rows: Rows) -> Outputs:
        """Return the outputs of some rows, (N, C) float64, computed by all ranks together."""
        return self._whole([outputs.double().cpu() for outputs in self.run_batches(rows)], rows)

    def _compute_pixels(self, rows: Rows) -> tuple[Outputs, Labels]:
        """Return the outputs and the truth of drawn pixels of some images."""
        sample = self._new_sample(rows)
        for outputs, target in self._run_pairs(rows):
            if sample is not None:
                sample.add(outputs, target)
        if sample is None:
            raise self._lost("layout")
        return sample.take()

    def run_batches(self, rows: Rows) -> Iterator[Tensor]:
        """Yield the outputs of this rank's share of some rows, batch by batch, in eval mode."""
        for outputs, _ in self._run_pairs(rows):
            yield outputs

    def _run_pairs(self, rows: Rows) -> Iterator[tuple[Tensor, Tensor]]:
        strategy, precision = self.trainer.strategy, self.trainer.precision_plugin
        # Weights of mixed precision are float32. Half precision has 8 bits of a logit: rows that
        # differ would get the same score, and rules would have few cuts to choose from.
        mixed = self.options.precision.endswith("-mixed")
        was_training = self.model.training
        self.model.eval()
        for batch in self.run_data.eval_loader(rows, self._pin):
            x, target = strategy.batch_to_device(precision.convert_input(batch))[:2]
            with torch.no_grad(), nullcontext() if mixed else precision.forward_context():
                outputs: Tensor = self.model(x)
            yield outputs, target
        self.model.train(was_training)

    def _whole(self, parts: list[Tensor], rows: Rows) -> Outputs:
        whole = gather_rows(parts, rows.size, self.run_data.truth.num_classes, self.device)
        parts.clear()
        return whole

    # Optimizer and checkpoints.

    def configure_optimizers(self) -> Any:
        """Return the optimizer and its learning rate, stepped with every optimizer step."""
        options = self.options
        trained = [p for p in self.model.parameters() if p.requires_grad]
        given: dict[str, Any] = {"lr": options.lr, "weight_decay": options.weight_decay}
        if options.optimizer == "sgd":
            given |= {"momentum": options.momentum, "nesterov": options.nesterov}
            optimizer: torch.optim.Optimizer = torch.optim.SGD(trained, **given)
        else:
            optimizer = torch.optim.AdamW(trained, **given)
        # Asking the trainer would make its loaders now, before a checkpoint is read.
        rows = options.rows_per_pass(place()[1]) * options.accumulation
        rate = Rate(options, math.ceil(len(self.run_data.order) / rows))
        rate.load_state_dict(self._restored.get("rate", rate.state_dict()))
        self.rate = rate
        # A function: LambdaLR would write the state of an object into the checkpoint.
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write what Lightning does not know of; plain values and tensors only."""
        checkpoint["equipoise"] = {
            "record": self.record.state_dict(),
            "sums": self._sums["train"].cpu(),
            "rate": {} if self.rate is None else self.rate.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from what :meth:`on_save_checkpoint` wrote."""
        state = self._restored = checkpoint["equipoise"]
        self.record.load_state_dict(state["record"])
        self._sums["train"] = state["sums"]
        if self.average is not None:
            self.average.load_state_dict(state["average"])

    def _require_finite(self, value: Tensor) -> None:
        if not torch.isfinite(value):
            raise self._lost("loss")

    def _lost(self, what: str) -> TrainingError:
        return TrainingError(
            f"The {what} of '{self.remedy.name}' is not finite in epoch {self.current_epoch}. "
            "Lower the learning rate, or check the weights of rare labels."
        )


def _full(outputs: Tensor) -> Tensor:
    """Return outputs of half precision as float32, in which the loss is taken."""
    half = outputs.dtype in (torch.float16, torch.bfloat16)
    return outputs.float() if half else outputs
