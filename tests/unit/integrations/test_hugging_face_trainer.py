"""The Hugging Face Trainer with a remedy: gradients, samplers, metrics, scores, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import DataCollatorForTokenClassification, DataCollatorWithPadding

import equipoise as eq
import tiny_transformers as tiny
from equipoise.errors import DataError, ShapeError, UsageError
from equipoise.integrations.huggingface import (
    RemedyTrainer,
    rule_from,
    rule_of,
    scores_from,
    training_labels,
)
from equipoise.losses import BCELoss, WeightedCrossEntropyLoss
from equipoise.training import Remedy

NAMES = {0: "none", 1: "B", 2: "A"}
LABELS = {0: "A", 1: "B"}
SEVERAL = "multi_label_classification"


def classes(traits: Any) -> list[int]:
    return np.where(traits[:, 0] == 1, 2, traits[:, 1]).tolist()


def class_rows(n: int, seed: int) -> list[dict[str, Any]]:
    rows, traits = tiny.texts(n, seed)
    return tiny.encoded(rows, classes(traits))


def label_rows(n: int, seed: int) -> list[dict[str, Any]]:
    rows, traits = tiny.texts(n, seed)
    return tiny.encoded(rows, traits.astype(float).tolist())


def token_rows(n: int, seed: int) -> list[dict[str, Any]]:
    """Words of class 1 or 2, or mostly 0, as their number tells; [CLS] and [SEP] are unknown."""
    rng = np.random.default_rng(seed)
    rows = tiny.encoded(tiny.texts(n, seed)[0], [None] * n)
    for row in rows:
        number = np.array(row["input_ids"]) - 4
        told = rng.random(len(number)) < (number / 40) ** 3
        row["labels"] = np.where(told, 1 + number % 2, 0).tolist()
        row["labels"][0] = row["labels"][-1] = -100
    return rows


def class_model() -> Any:
    return tiny.bert("Sequence", 3, id2label=NAMES)


def label_model() -> Any:
    return tiny.bert("Sequence", 2, id2label=LABELS, problem_type=SEVERAL)


def trainer_of(
    remedy: Remedy, model: Any, rows: Any, folder: Path, collate: Any = None, **more: Any
) -> RemedyTrainer:
    evaluation = more.pop("eval_dataset", None)
    return RemedyTrainer(
        remedy,
        model,
        tiny.arguments(folder, **more),
        train_dataset=rows,
        eval_dataset=evaluation,
        data_collator=collate or DataCollatorWithPadding(tiny.tokenizer()),
    )


def of_tokens() -> Any:
    return DataCollatorForTokenClassification(tiny.tokenizer())


# One step, however the batch is cut.


def after_one_step(
    make: Any, rows: Any, remedy: Remedy, folder: Path, parts: int, collate: Any
) -> dict[str, Any]:
    """The weights after one step of SGD on 32 rows: with a rate of 1 they are the gradient."""
    trainer = trainer_of(
        remedy,
        make(),
        rows,
        folder,
        collate,
        max_steps=1,
        per_device_train_batch_size=32 // parts,
        gradient_accumulation_steps=parts,
        optim="sgd",
        learning_rate=1.0,
        max_grad_norm=0.0,
        lr_scheduler_type="constant",
    )
    trainer.train()
    return {k: v.detach().clone() for k, v in trainer.model.named_parameters()}


def uneven_labels() -> list[dict[str, Any]]:
    """Rows of labels of which a part is unknown, more in some parts of the batch than in others."""
    rows = label_rows(32, 0)
    for i in range(11):
        rows[i]["labels"][i % 2] = (-100.0, -1.0, float("nan"))[i % 3]
    return rows


def uneven_tokens() -> list[dict[str, Any]]:
    rows = token_rows(32, 0)
    for i in range(12):
        rows[i]["labels"] = [-100] * 5 + rows[i]["labels"][5:]
    return rows


WEIGHTS = [1.0, 3.0, 9.0]
CUTS: dict[str, tuple[Any, Any, Any, Any]] = {
    "classes": (
        class_model,
        lambda: class_rows(32, 0),
        WeightedCrossEntropyLoss(WEIGHTS),
        None,
    ),
    "classes, over their weights": (
        class_model,
        lambda: class_rows(32, 0),
        WeightedCrossEntropyLoss(WEIGHTS, normalizer="weights"),
        None,
    ),
    "labels, some unknown": (label_model, uneven_labels, BCELoss(), None),
    "tokens, some unknown": (
        lambda: tiny.bert("Token", 3, id2label=NAMES),
        uneven_tokens,
        WeightedCrossEntropyLoss(WEIGHTS),
        of_tokens,
    ),
}


@pytest.mark.parametrize("case", CUTS)
def test_a_step_is_the_same_however_its_batch_is_cut(case: str, tmp_path: Path) -> None:
    make, data, loss, collate = CUTS[case]
    remedy = Remedy("own", loss, loss.correction(num_classes=loss.num_classes or 2))
    rows, given = data(), collate and collate()
    start = dict(make().named_parameters())
    whole, cut = (after_one_step(make, rows, remedy, tmp_path, n, given) for n in (1, 4))

    # What it has to be: one pass over all 32 rows with torch alone.
    model = make()
    batch = (given or DataCollatorWithPadding(tiny.tokenizer()))(rows)
    target = batch.pop("labels")
    logits = model(**batch).logits.flatten(0, -2)
    if logits.shape[1] == 2:
        known = target >= 0
        entries = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, torch.where(known, target, 0.0), reduction="none"
        )
        value = entries[known].sum() / known.sum()
    else:
        target = target.flatten()
        value = torch.nn.functional.cross_entropy(logits, target, torch.tensor(WEIGHTS))
        if loss.normalizer == "samples":
            value *= torch.tensor(WEIGHTS)[target[target >= 0]].mean()
    value.backward()
    moved = 0.0
    for name, parameter in model.named_parameters():
        step = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for made in (whole, cut):
            torch.testing.assert_close(start[name] - made[name], step, atol=2e-6, rtol=1e-4)
        moved = max(moved, float(step.abs().max()))
    assert moved > 0.05


def test_the_loss_that_is_logged_is_that_of_the_whole_batch(tmp_path: Path) -> None:
    rows, loss = class_rows(32, 0), WeightedCrossEntropyLoss(WEIGHTS)
    remedy = Remedy("own", loss, loss.correction())
    logged = []
    for parts in (1, 4):
        trainer = trainer_of(
            remedy,
            class_model(),
            rows,
            tmp_path,
            max_steps=1,
            per_device_train_batch_size=32 // parts,
            gradient_accumulation_steps=parts,
        )
        logged.append(trainer.train().training_loss)
    assert logged[0] == pytest.approx(logged[1], rel=1e-5)


# From training to decisions.


def train_and_judge(
    method: str, make: Any, data: Any, folder: Path, collate: Any = None, **more: Any
) -> tuple[RemedyTrainer, eq.DecisionRule, eq.Scores, dict[str, float]]:
    # So many that the shares of two random halves differ by less than the tenth that is asked for.
    train, validation, test = (data(n, seed) for n, seed in ((1500, 1), (9000, 2), (9000, 3)))
    model = make()
    remedy = eq.remedy(method, training_labels(train, model))
    trainer = trainer_of(
        remedy, model, train, folder, collate, learning_rate=2e-3, num_train_epochs=6, **more
    )
    trainer.train()
    rule = rule_from(trainer, validation)
    scores = scores_from(trainer, test, "test")
    return trainer, rule, scores, trainer.predict(test).metrics


def require_good(rule: eq.DecisionRule, scores: eq.Scores, metrics: dict[str, float]) -> None:
    """Corrected probabilities add up to what is there, and decisions gain on the default cut."""
    share = rule.apply(scores).probabilities.mean(0) / scores.labels.prevalence
    assert (share > 0.9).all(), share
    assert (share < 1.1).all(), share
    assert metrics["test_macro_f1"] > metrics["test_macro_f1_default"] + 0.005


def test_several_labels_from_training_to_decisions(tmp_path: Path) -> None:
    trained = train_and_judge("pos_weight", label_model, label_rows, tmp_path)
    _, rule, scores, metrics = trained
    require_good(rule, scores, metrics)
    assert metrics["test_macro_ap"] > 2 * scores.labels.prevalence.mean()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["weighted_ce", "class_balanced_sampling", "none"])
def test_classes_from_training_to_decisions(method: str, tmp_path: Path) -> None:
    _, rule, scores, metrics = train_and_judge(method, class_model, class_rows, tmp_path)
    require_good(rule, scores, metrics)


@pytest.mark.slow
def test_tokens_from_training_to_decisions(tmp_path: Path) -> None:
    def make() -> Any:
        return tiny.bert("Token", 3, id2label=NAMES)

    _, rule, scores, metrics = train_and_judge(
        "logit_adjusted", make, token_rows, tmp_path, of_tokens()
    )
    require_good(rule, scores, metrics)
    assert len(scores) == 9000 * 6
    assert len(set(scores.labels.groups)) == 9000


@pytest.mark.slow
def test_images_from_training_to_decisions(tmp_path: Path) -> None:
    def pictures(n: int, seed: int) -> list[dict[str, Any]]:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(n, 3, 8, 8)).astype(np.float32)
        bright = rng.normal(size=n)
        x[:, 0] += bright[:, None, None]
        y = (rng.random(n) < 1 / (1 + np.exp(4 - 2 * bright))).astype(int)
        return [
            {"pixel_values": torch.from_numpy(a), "labels": int(b)}
            for a, b in zip(x, y, strict=True)
        ]

    from transformers import default_data_collator

    _, rule, scores, metrics = train_and_judge(
        "weighted_ce", lambda: tiny.vit(2), pictures, tmp_path, default_data_collator
    )
    require_good(rule, scores, metrics)


def test_evaluation_measures_what_the_field_does_and_writes_scores(tmp_path: Path) -> None:
    train, validation = class_rows(200, 1), class_rows(300, 2)
    model = class_model()
    remedy = eq.remedy("logit_adjusted", training_labels(train, model))
    trainer = trainer_of(
        remedy, model, train, tmp_path, eval_dataset=validation, num_train_epochs=1
    )
    trainer.train()
    found = trainer.evaluate()
    (file,) = (tmp_path / "scores").iterdir()
    assert file.name == "eval-7.parquet"
    scores = eq.Scores.load(file)
    assert scores.split == "val"
    assert scores.names == ("none", "B", "A")
    assert scores.correction.to_dict() == remedy.correction.to_dict()

    from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

    y, p = scores.labels.values, remedy.correction.probabilities(scores.values)
    hot = np.eye(3)[y]
    assert found["eval_macro_ap"] == pytest.approx(average_precision_score(hot, p))
    assert found["eval_macro_auroc"] == pytest.approx(roc_auc_score(hot, p))
    plain = f1_score(y, scores.values.argmax(1), average="macro")
    assert found["eval_macro_f1_default"] == pytest.approx(plain)
    tuned = eq.tune(scores, objective="macro_f1").cross_fitted.mean()
    assert found["eval_macro_f1"] == pytest.approx(tuned)


def test_each_of_several_evaluation_sets_has_its_own_scores(tmp_path: Path) -> None:
    rows, model = class_rows(200, 1), class_model()
    sets = {"near": class_rows(150, 2), "far": class_rows(100, 3)}
    trainer = trainer_of(
        eq.remedy("none", training_labels(rows, model)),
        model,
        rows,
        tmp_path,
        eval_dataset=sets,
    )
    found = trainer.evaluate()
    assert {"eval_near_macro_ap", "eval_far_macro_ap"} <= set(found)
    for name, data in sets.items():
        scores = eq.Scores.load(tmp_path / "scores" / f"eval_{name}-0.parquet")
        assert scores.labels.values.tolist() == [row["labels"] for row in data]


def test_nothing_is_tuned_on_rows_that_are_predicted(tmp_path: Path) -> None:
    rows, model = class_rows(200, 1), class_model()
    trainer = trainer_of(eq.remedy("none", training_labels(rows, model)), model, rows, tmp_path)
    before = trainer.predict(class_rows(100, 2)).metrics
    assert "test_macro_f1_default" in before
    assert "test_macro_f1" not in before
    rule = rule_from(trainer, class_rows(200, 3))
    test = class_rows(100, 2)
    after = trainer.predict(test).metrics
    decided = rule.apply(scores_from(trainer, test, "test")).predictions
    from sklearn.metrics import f1_score

    truth = [row["labels"] for row in test]
    assert after["test_macro_f1"] == pytest.approx(f1_score(truth, decided, average="macro"))


# The sampler.


def test_each_epoch_has_its_own_draw_of_the_remedy(tmp_path: Path) -> None:
    rows, model = class_rows(300, 1), class_model()
    remedy = eq.remedy("class_balanced_sampling", training_labels(rows, model))
    seen: list[int] = []

    def collate(batch: list[dict[str, Any]]) -> Any:
        seen.extend(row["labels"] for row in batch)
        return DataCollatorWithPadding(tiny.tokenizer())(batch)

    trainer = trainer_of(remedy, model, rows, tmp_path, collate, num_train_epochs=2)
    trainer.train()
    draws = np.array(seen).reshape(2, 300)
    assert not (draws[0] == draws[1]).all()
    shares = np.bincount(draws.ravel(), minlength=3) / 600
    np.testing.assert_allclose(shares, 1 / 3, atol=0.06)
    sampler = remedy.sampler(seed=0, sharding="none")
    for epoch in range(2):
        sampler.set_epoch(epoch)
        assert draws[epoch].tolist() == [rows[i]["labels"] for i in sampler]


def test_a_sampler_that_changes_learns_how_many_epochs_there_are(tmp_path: Path) -> None:
    rows, model = class_rows(64, 1), class_model()
    remedy = eq.remedy("progressive_sampling", training_labels(rows, model))
    trainer = trainer_of(remedy, model, rows, tmp_path, num_train_epochs=3)
    trainer.train()
    alone = remedy.sampler(seed=0)
    alone.set_num_epochs(3)
    assert trainer._sampler.num_epochs == alone.num_epochs
    assert trainer._sampler.epoch == 2


def test_a_training_that_was_stopped_goes_on_with_the_same_draw(tmp_path: Path) -> None:
    rows = class_rows(100, 1)

    def train(again: str | None = None) -> dict[str, Any]:
        model = class_model()
        remedy = eq.remedy("class_balanced_sampling", training_labels(rows, model))
        trainer = trainer_of(
            remedy,
            model,
            rows,
            tmp_path,
            num_train_epochs=2,
            per_device_train_batch_size=20,
            save_strategy="steps",
            save_steps=8,
        )
        trainer.train(resume_from_checkpoint=again)
        return {k: v.detach().clone() for k, v in model.named_parameters()}

    whole = train()
    resumed = train(str(tmp_path / "checkpoint-8"))  # three batches into the second epoch
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, atol=1e-6, rtol=1e-5)


def test_rows_of_another_form_go_through_a_collator_of_ones_own(tmp_path: Path) -> None:
    rows = token_rows(40, 0)
    pairs = [(row["input_ids"], row["labels"]) for row in rows]

    def collate(batch: list[Any]) -> Any:
        return of_tokens()([{"input_ids": ids, "labels": labels} for ids, labels in batch])

    labels = training_labels(rows, tiny.bert("Token", 3, id2label=NAMES))
    for method in ("weighted_ce", "class_balanced_sampling"):
        model = tiny.bert("Token", 3, id2label=NAMES)
        trainer = trainer_of(
            eq.remedy(method, labels), model, [*pairs] * 8, tmp_path, collate, max_steps=1
        )
        if method == "weighted_ce":
            assert trainer.train().training_loss > 0
        else:
            with pytest.raises(UsageError, match="which draws tokens"):
                trainer.train()


# The truth.


def test_tokens_become_rows_in_groups_of_sentences() -> None:
    rows = [
        {"labels": [-100, 1, 0, -100]},
        {"labels": [-100, 2, -100]},
    ]
    model = tiny.bert("Token", 3, id2label=NAMES)
    labels = training_labels(rows, model, ids=["x", "y"])
    assert labels.values.tolist() == [1, 0, 2]
    assert labels.ids.tolist() == ["x:1", "x:2", "y:1"]
    assert labels.groups.tolist() == ["x", "x", "y"]
    other = training_labels([{"labels": [0, 1]}], model)
    assert not set(other.groups) & set(training_labels(rows, model).groups)


def test_labels_of_tokens_and_of_columns_are_read() -> None:
    class Columns(list[Any]):
        column_names = ("input_ids", "label")

        def __getitem__(self, key: Any) -> Any:
            return [row["label"] for row in self] if key == "label" else super().__getitem__(key)

    rows = Columns([{"label": 0}, {"label": 2}])
    assert training_labels(rows, class_model()).values.tolist() == [0, 2]
    tokens = [{"labels": [[1.0, 0.0], [-100.0, -100.0], [0.0, -100.0]]}]
    model = tiny.bert("Token", 2, id2label=LABELS, problem_type=SEVERAL)
    assert training_labels(tokens, model).values.tolist() == [[1, 0], [0, -1]]


# What cannot be done is refused in one line.


def refused(remedy: Remedy, model: Any, rows: Any, folder: Path, **more: Any) -> str:
    with pytest.raises((UsageError, DataError, ShapeError)) as caught:
        trainer_of(remedy, model, rows, folder, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("mixup", "mixing is refused: it blends the inputs"),
        ("drw", "schedule is refused: it exchanges"),
        ("crt", "second_stage is refused: it trains the last layer again"),
        ("ldam", "the cosines of a normalised head"),
    ],
)
def test_what_the_trainer_has_no_place_for_is_refused(
    method: str, words: str, tmp_path: Path
) -> None:
    rows, model = class_rows(60, 0), class_model()
    remedy = eq.remedy(method, training_labels(rows, model))
    assert words in refused(remedy, model, rows, tmp_path)


def test_a_loss_for_the_other_kind_is_refused(tmp_path: Path) -> None:
    of_classes = eq.remedy("weighted_ce", training_labels(class_rows(60, 0), class_model()))
    said = refused(of_classes, label_model(), label_rows(60, 0), tmp_path)
    assert "suit problem_type='multi_label_classification'" in said
    assert "'weighted_ce' for multiclass labels" in said
    of_labels = eq.remedy("pos_weight", training_labels(label_rows(60, 0), label_model()))
    said = refused(of_labels, class_model(), class_rows(60, 0), tmp_path)
    assert "'pos_weight' for multilabel labels" in said


def test_a_head_of_another_width_is_refused(tmp_path: Path) -> None:
    rows, model = class_rows(60, 0), class_model()
    remedy = eq.remedy("weighted_ce", training_labels(rows, model))
    said = refused(remedy, tiny.bert("Sequence", 4), rows, tmp_path)
    assert "one output per class or label of the remedy, 3, got 4" in said
    assert "num_labels=3" in said


def test_targets_that_are_no_numbers_or_no_classes_are_refused(tmp_path: Path) -> None:
    rows, model = class_rows(60, 0), class_model()
    remedy = eq.remedy("none", training_labels(rows, model))
    text = [{**row, "labels": "spam"} for row in rows]
    said = refused(remedy, class_model(), text, tmp_path)
    assert "`labels` must be numbers, got 'spam'" in said
    assert "label2id" in said
    with pytest.raises(DataError, match="be numbers"):
        training_labels(text, model)
    beyond = [{**row, "labels": 3} for row in rows]
    assert "lie in 0 to C - 1 = 2" in refused(remedy, class_model(), beyond, tmp_path)
    with pytest.raises(DataError, match="known in every training row"):
        training_labels([{"labels": -100}, {"labels": 1}], model)
    with pytest.raises(DataError, match="have a column of labels, label"):
        training_labels([{"target": 1}], model)
    with pytest.raises(ShapeError, match="one entry per label of the model, 2"):
        training_labels([{"labels": [0.0, 1.0, 0.0]}], label_model())
    with pytest.raises(UsageError, match="be a classification"):
        training_labels(rows, tiny.bert("Sequence", 1))


def test_what_would_be_silently_ignored_is_refused(tmp_path: Path) -> None:
    rows, model = class_rows(60, 0), class_model()
    labels = training_labels(rows, model)
    plain, drawn = eq.remedy("none", labels), eq.remedy("class_balanced_sampling", labels)
    said = refused(plain, model, rows, tmp_path, label_smoothing_factor=0.1)
    assert "label_smoothing_factor" in said
    args = tiny.arguments(tmp_path)
    order = "train_sampling_strategy"
    given = {order: "group_by_length"} if hasattr(args, order) else {"group_by_length": True}
    assert "'group_by_length'" in refused(drawn, model, rows, tmp_path, **given)
    with pytest.raises(UsageError, match="compute_loss_func"):
        RemedyTrainer(plain, model, args, train_dataset=rows, compute_loss_func=print)
    own = WeightedCrossEntropyLoss(WEIGHTS, ignore_index=0)
    other = Remedy("own", own, own.correction())
    assert "loss.ignore_index" in refused(other, model, rows, tmp_path)


def test_a_sampler_of_tokens_or_of_more_rows_is_refused(tmp_path: Path) -> None:
    rows, model = token_rows(60, 0), tiny.bert("Token", 3, id2label=NAMES)
    remedy = eq.remedy("class_balanced_sampling", training_labels(rows, model))
    assert "which draws tokens" in refused(remedy, model, rows, tmp_path)
    many = eq.remedy("class_balanced_sampling", training_labels(class_rows(600, 0), class_model()))
    trainer = trainer_of(many, class_model(), class_rows(60, 0), tmp_path)
    with pytest.raises(ShapeError, match="draw from the 60 rows of train_dataset"):
        trainer.train()


def test_a_rule_comes_from_a_trainer_with_a_remedy() -> None:
    with pytest.raises(UsageError, match="be a RemedyTrainer, got object"):
        rule_from(object(), [])


def test_the_config_carries_the_rule(tmp_path: Path) -> None:
    rows, model = label_rows(300, 1), label_model()
    trainer = trainer_of(
        eq.remedy("pos_weight", training_labels(rows, model)), model, rows, tmp_path
    )
    rule = rule_from(trainer, label_rows(300, 2), objective="f2")
    trainer.save_model(str(tmp_path / "model"))
    read = type(model).from_pretrained(tmp_path / "model")
    again = rule_of(read.config)
    assert again.objective == rule.objective == "f2"
    scores = scores_from(trainer, label_rows(100, 3), "test")
    np.testing.assert_array_equal(
        again.apply(scores).probabilities, rule.apply(scores).probabilities
    )
    document = json.loads((tmp_path / "model" / "config.json").read_text())
    assert document["equipoise_rule"]["rows"]["contents"] is None
    read.config.equipoise_rule = {"kind": "multilabel"}
    with pytest.raises(DataError, match=r"config\.equipoise_rule"):
        rule_of(read.config)
