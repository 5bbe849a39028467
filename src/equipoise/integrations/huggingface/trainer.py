"""The Hugging Face Trainer with a remedy: its loss, its sampler, the field's metrics."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equipoise._core.messages import say
from equipoise._core.targets import IGNORE_INDEX, require_classes, require_labels
from equipoise.artifacts import Scores
from equipoise.artifacts.scores import SplitName
from equipoise.decisions import tune
from equipoise.errors import ShapeError, UsageError
from equipoise.integrations.huggingface._transformers import transformers
from equipoise.integrations.huggingface.rules import FIELD, field_metrics, rule_of, to_scores
from equipoise.integrations.huggingface.truth import find_column, flat_targets, kind_of
from equipoise.training.remedy import Remedy, start_epoch
from equipoise.training.targets import divisor as divisor_of, mark_unknown

_REASONS = {
    "resampling": "it makes rows of a table",
    "model": "it is a model of a table of its own",
    "augmentation": "it changes inputs, which the data collator prepares here",
    "mixing": "it blends the inputs of a batch, and numbers of tokens cannot be blended",
    "schedule": "it exchanges loss and sampler in the middle, which this Trainer has no place for",
    "second_stage": "it trains the last layer again on features that stand still",
}


def _require_plain(remedy: Remedy) -> None:
    """Raise where a remedy does more than a loss and a sampler can."""
    do = "Train it with `equipoise.fit`, or take a loss or a sampler."
    for slot, reason in _REASONS.items():
        if getattr(remedy, slot) is not None:
            got = f"'{remedy.name}', whose {slot} is refused: {reason}"
            raise UsageError(say("remedy", "change loss and sampler alone", got, do))
    if remedy.head != "linear":
        got = f"'{remedy.name}', made for the cosines of a normalised head"
        raise UsageError(say("remedy", "work on the outputs of a plain head", got, do))
    if getattr(remedy.loss, "class_dim", -1) != -1:
        do = "Make the remedy without class_dim: tokens are handed to the loss as rows."
        raise UsageError(say("loss.class_dim", "be -1", remedy.loss.class_dim, do))
    index = getattr(remedy.loss, "ignore_index", IGNORE_INDEX)
    if index != IGNORE_INDEX:
        do = "Leave it out: collators here fill up with -100."
        raise UsageError(say("loss.ignore_index", f"be {IGNORE_INDEX}", index, do))


def _require_fit(remedy: Remedy, config: Any) -> None:
    """Raise unless remedy and model are for the same kind and number of outputs."""
    mine, theirs = remedy.correction.kind, kind_of(config)
    if mine != theirs:
        wanted = {
            "multilabel": "problem_type='multi_label_classification'",
            "multiclass": "problem_type='single_label_classification'",
        }
        do = f"Take a method for {theirs} labels, or give the model {wanted[mine]}."
        got = f"'{remedy.name}' for {mine} labels"
        expected = f"suit problem_type={config.problem_type!r}"
        raise UsageError(say("remedy", expected, got, do))
    prior = remedy.correction.prior
    width = getattr(remedy.loss, "num_classes", None) if prior is None else len(prior)
    if width not in (None, config.num_labels):
        do = f"Load the model with num_labels={width}."
        expected = f"have one output per class or label of the remedy, {width}"
        raise ShapeError(say("model", expected, config.num_labels, do))


class RemedyTrainer(transformers.Trainer):  # type: ignore[misc]
    """A `transformers.Trainer` that trains with a remedy.

    Use where models, collators and arguments are those of transformers: sequence, token or image
    classification, one class or several labels. Prefer :func:`equipoise.fit` for remedies that mix
    rows, change late or train in two stages.

    Args:
        remedy: From :func:`equipoise.remedy`, made for
            ``training_labels(train_dataset, model)``. Its loss and its sampler are used; anything
            else that it holds is refused.
        *given: As for `transformers.Trainer`: model, arguments, ...
        **named: As for `transformers.Trainer`, but ``compute_loss_func``. Without
            ``compute_metrics`` the field's are taken: macro average precision, macro AUROC and
            macro F1 at the default cut and, cross-fitted, at that of a tuned rule
            ("eval_macro_ap", "eval_macro_auroc", "eval_macro_f1_default", "eval_macro_f1"). The
            scores that they are of are then written as output_dir/scores/eval-STEP.parquet.

    Attributes:
        remedy: What it trains with.

    Raises:
        UsageError: a remedy that mixes, changes late, has a second stage or needs a cosine head; a
            loss for classes with several labels or the reverse; ``compute_loss_func``,
            ``label_smoothing_factor`` or an order of its own (``group_by_length``) beside it; a
            sampler for tokens; several GPUs in one process.
        ShapeError: a model with another number of outputs, or a sampler made for more rows.
        DataError: targets that are text, or no class of the model.

    Note:
        Gradient accumulation and several processes change nothing: a step divides by what the
        whole batch counts (known rows or entries, or their weights), as `fit` does; with
        ``average_tokens_across_devices=False`` each process by its own. A loss of a whole batch
        (AUC, soft F) sees one part of it at a time. The sampler yields the whole sequence and
        accelerate deals its batches out to the processes. Calibration: :func:`rule_from` undoes
        what loss and sampler do to probabilities.

    Example:
        >>> import tempfile, torch, transformers
        >>> import equipoise as eq
        >>> from equipoise.integrations.huggingface import training_labels
        >>> size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
        >>> config = transformers.BertConfig(
        ...     vocab_size=9, intermediate_size=8, num_labels=2, **size
        ... )
        >>> model = transformers.BertForSequenceClassification(config)
        >>> rows = [{"input_ids": [i % 9], "labels": int(i % 9 == 0)} for i in range(90)]
        >>> remedy = eq.remedy("logit_adjusted", training_labels(rows, model))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     args = transformers.TrainingArguments(
        ...         folder, report_to=[], use_cpu=True, disable_tqdm=True
        ...     )
        ...     trainer = RemedyTrainer(remedy, model, args, train_dataset=rows)
        >>> trainer.remedy.name
        'logit_adjusted'
    """

    def __init__(self, remedy: Remedy, *given: Any, **named: Any) -> None:
        _require_plain(remedy)
        if named.get("compute_loss_func") is not None:
            do = "Leave it out, or take transformers.Trainer."
            raise UsageError(say("compute_loss_func", "be the remedy's", "another one", do))
        self.remedy = remedy
        self.loss = copy.deepcopy(remedy.loss)
        self._sampler: Any = None
        self._seen = False
        self._part: SplitName = "val"
        self._latest: Scores | None = None
        named["compute_metrics"] = named.get("compute_metrics") or self._measure
        super().__init__(*given, compute_loss_func=self._loss_of, **named)
        _require_fit(remedy, self.model.config)
        self._require_arguments()
        for data in (self.train_dataset, self.eval_dataset):
            self._look_at(data)
        if self.model.config.problem_type is None:
            # Pipelines ask it which of softmax and sigmoid to take.
            self.model.config.problem_type = "single_label_classification"
        self.add_callback(_Treatment(self))

    def _require_arguments(self) -> None:
        args = self.args
        if args.label_smoothing_factor:
            do = "Leave it out, or take `label_aware_smoothing`."
            got = args.label_smoothing_factor
            raise UsageError(say("label_smoothing_factor", "be 0 beside a remedy's loss", got, do))
        if args.n_gpu > 1:
            do = "Start one process per GPU, with torchrun."
            raise UsageError(say("processes", "have one GPU each", f"{args.n_gpu} GPUs", do))
        if getattr(args, "parallelism_config", None) is not None:
            do = "Leave parallelism_config out."
            raise UsageError(say("processes", "split rows alone", "a model that is split", do))
        order = getattr(args, "train_sampling_strategy", "random")
        if getattr(args, "group_by_length", False):
            order = "group_by_length"
        if self.remedy.sampler is not None and order != "random":
            do = "Keep the remedy's order, or take a remedy that changes the loss alone."
            raise UsageError(say("order of rows", "be the remedy's", f"'{order}'", do))

    def _look_at(self, data: Any) -> None:
        """Read the targets of a first row: what is wrong shows before a batch is made of it."""
        for part in data.values() if isinstance(data, dict) else [data]:
            if not hasattr(part, "__len__") or not hasattr(part, "__getitem__"):
                continue
            first = part[0]
            column = find_column(first) if isinstance(first, Mapping) else None
            if column is None:
                continue  # a collator of the user's own makes the batch
            if flat_targets([first[column]], self.model.config).lengths is not None:
                self._require_rows()

    def _require_rows(self) -> None:
        if self.remedy.sampler is not None:
            do = "Take a loss: a row here is a sentence with many tokens."
            got = f"'{self.remedy.name}', which draws tokens"
            raise UsageError(say("remedy", "draw rows of the data set", got, do))

    # The loss.

    def _target(self, labels: Tensor | None) -> Tensor:
        """Return (N,) classes or (N, L) labels, NaN where unknown; tokens of a batch in one row."""
        if labels is None:
            do = "Let the data collator keep the targets as `labels`."
            raise UsageError(say("batch", "hold labels", "none", do))
        several = self.remedy.correction.kind == "multilabel"
        flat = labels.reshape(-1, labels.shape[-1]).float() if several else labels.reshape(-1)
        if not self._seen:
            self._seen = True
            if labels.ndim > 1 + several:
                self._require_rows()
            values = flat.detach().cpu().double().numpy()
            if several:
                require_labels("labels", np.where(values == IGNORE_INDEX, np.nan, values))
            else:
                require_classes("labels", values, self.model.config.num_labels)
        return mark_unknown(flat) if several else flat.long()

    def _loss_of(
        self, outputs: Any, labels: Tensor | None, num_items_in_batch: Tensor | None = None
    ) -> Tensor:
        """Return this part's share of the mean over the whole batch."""
        logits = outputs["logits"] if isinstance(outputs, dict) else outputs[0]
        target = self._target(labels)
        half = logits.dtype in (torch.float16, torch.bfloat16)
        wide = (logits.float() if half else logits).reshape(-1, logits.shape[-1])
        loss = self.loss.to(wide.device)
        value: Tensor = loss(wide, target)
        if num_items_in_batch is None:
            return value
        return value * (divisor_of(loss, target) / num_items_in_batch).to(value)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Any:
        """Return what the mean over the whole batch divides by, in the Trainer's place for it.

        The Trainer counts targets that are not -100; a loss counts known entries, or weights.
        """
        if not batch_samples or "labels" not in batch_samples[0]:
            return None
        loss = self.loss.to(device)
        counts = [divisor_of(loss, self._target(b["labels"].to(device))) for b in batch_samples]
        total = torch.stack([count.double() for count in counts]).sum()
        if self.args.average_tokens_across_devices and self.args.world_size > 1:
            total = self.accelerator.gather(total.reshape(1)).sum()
        return total.clamp_min(torch.finfo(torch.float64).tiny)  # a batch may know nothing

    # The sampler.

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """Return the remedy's sampler; accelerate deals its batches out to the processes."""
        data = self.train_dataset if train_dataset is None else train_dataset
        if self.remedy.sampler is None:
            return super()._get_train_sampler(data)
        if data is None or not hasattr(data, "__len__"):
            do = "Give a data set with a length, or take a remedy that changes the loss alone."
            raise UsageError(say("train_dataset", "have rows by number", "a stream", do))
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        made = self.remedy.sampler(seed=seed, sharding="none")
        tell = getattr(made, "set_num_epochs", None)
        if callable(tell):
            tell(max(1, math.ceil(self.args.num_train_epochs)))  # `max_steps` is heard of later
        highest = max(made, default=-1)
        if highest >= len(data):
            do = "Make the remedy for training_labels(train_dataset, model)."
            expected = f"draw from the {len(data)} rows of train_dataset"
            raise ShapeError(say("remedy", expected, f"row {highest}", do))
        self._sampler = made
        return made

    # What is measured.

    def predict(self, *given: Any, **named: Any) -> Any:
        """Predict as the Trainer does; with the field's metrics, F1 is that of the model's rule.

        Nothing is tuned on these rows: before :func:`rule_from` there is no "test_macro_f1".
        """
        self._part = "test"
        try:
            return super().predict(*given, **named)
        finally:
            self._part = "val"

    def _measure(self, prediction: Any) -> dict[str, float]:
        config = self.model.config
        scores = to_scores(self.remedy, config, prediction, self._part)
        if self._part == "test":
            return field_metrics(scores, rule_of(config))
        self._latest = scores
        return field_metrics(scores, tune(scores, objective=FIELD[scores.kind]))


class _Treatment(transformers.TrainerCallback):  # type: ignore[misc]
    """Tells loss and sampler of epochs, and writes the scores of each evaluation."""

    def __init__(self, trainer: RemedyTrainer) -> None:
        self.trainer = trainer

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Say how many epochs there are to a sampler that changes over them."""
        tell = getattr(self.trainer._sampler, "set_num_epochs", None)
        if callable(tell):
            tell(state.num_train_epochs)

    def on_epoch_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Say which epoch begins; accelerate does not reach every sampler."""
        epoch = int(state.epoch or 0)
        start_epoch(self.trainer.loss, epoch)
        if self.trainer._sampler is not None:
            self.trainer._sampler.set_epoch(epoch)

    def on_evaluate(self, args: Any, state: Any, _control: Any, **more: Any) -> None:
        """Write what was measured, under the name that the metrics have."""
        scores, mark = self.trainer._latest, "_macro_ap"
        named = [key.removesuffix(mark) for key in more["metrics"] if key.endswith(mark)]
        if scores is not None and named and state.is_world_process_zero:
            folder = Path(args.output_dir, "scores")
            folder.mkdir(parents=True, exist_ok=True)
            scores.save(folder / f"{named[0]}-{state.global_step}.parquet")
