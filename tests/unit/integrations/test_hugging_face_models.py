"""A saved model with its rule: pipelines and `equipoise predict` say what the rule says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from transformers import pipeline

import equipoise as eq
import tiny_transformers as tiny
from equipoise.cli.main import main
from equipoise.decisions import Budget
from equipoise.errors import DataError, UsageError
from equipoise.integrations.huggingface import (
    FolderModel,
    RuleImageClassificationPipeline,
    RuleTextClassificationPipeline,
    RuleTokenClassificationPipeline,
    put_rule,
)

TEXTS, _ = tiny.texts(12, 5)


def rule_for(kind: str, names: list[str], objective: Any = None) -> eq.DecisionRule:
    """A rule that is far from the untreated one."""
    rng = np.random.default_rng(0)
    if kind == "multilabel":
        y = (rng.random((400, len(names))) < 0.3).astype(int)
        logits = 2.0 * y + rng.normal(size=y.shape)
    else:
        y = rng.integers(0, len(names), size=400)
        logits = 2.0 * np.eye(len(names))[y] + rng.normal(size=(400, len(names)))
    labels = eq.Labels.from_array(y, kind=kind, names=names)
    undo = eq.Correction.from_pos_weight([5.0] * len(names))
    if kind == "multiclass":
        undo = eq.Correction.from_class_weights(np.arange(1.0, 1 + len(names)))
    scores = eq.Scores.from_arrays(labels, logits=logits, split="val", correction=undo)
    return eq.tune(scores, objective=objective)


def save(model: Any, rule: eq.DecisionRule | None, folder: Path) -> Path:
    if rule is not None:
        put_rule(model, rule)
    model.save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


def logits_of(model: Any, text: str) -> Any:
    with torch.no_grad():
        return model(**tiny.tokenizer()([text], return_tensors="pt")).logits[0].double().numpy()


def decided(rule: eq.DecisionRule, logits: Any, names: list[str]) -> Any:
    new = eq.Scores.from_arrays(None, logits=logits, split="new", kind=rule.kind, names=names)
    return rule.apply(new)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


NAMES = ["A", "B", "C"]
CASES = {
    "multiclass": {},
    "multilabel": {"problem_type": "multi_label_classification"},
}


@pytest.fixture(params=CASES)
def text_model(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Any, Any]:
    config = {"id2label": dict(enumerate(NAMES)), **CASES[request.param]}
    model = tiny.bert("Sequence", 3, **config).eval()
    # The rule names its columns in another order than the model's head.
    rule = rule_for(request.param, ["C", "A", "B"])
    return save(model, rule, tmp_path / "model"), model, rule


def test_a_text_pipeline_answers_with_the_rule(text_model: tuple[Path, Any, Any]) -> None:
    folder, model, rule = text_model
    ask = pipeline(
        "text-classification",
        model=str(folder),
        tokenizer=str(folder),
        pipeline_class=RuleTextClassificationPipeline,
    )
    for text, entries in zip(TEXTS, ask(TEXTS), strict=True):
        want = decided(rule, logits_of(model, text)[None], NAMES)
        for entry in entries:
            c = want.names.index(entry["label"])
            assert entry["score"] == pytest.approx(want.probabilities[0, c], abs=1e-6)
            told = want.predictions[0]
            assert entry["decision"] == (bool(told[c]) if np.ndim(told) else told == c)
        assert [e["score"] for e in entries] == sorted((e["score"] for e in entries), reverse=True)
    assert ask(TEXTS[0]) == ask(TEXTS[:1])[0]


def test_predict_writes_what_the_rule_says(
    text_model: tuple[Path, Any, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, model, rule = text_model
    ids = [f"r{i}" for i in range(12)]
    pl.DataFrame({"id": ids, "text": TEXTS}).write_csv(tmp_path / "new.csv")
    out = tmp_path / "out.parquet"
    assert run("predict", str(folder), str(tmp_path / "new.csv"), "-o", str(out)) == 0
    assert "Loading" not in capsys.readouterr().err
    made = pl.read_parquet(out)
    assert made["id"].to_list() == ids
    want = decided(rule, np.stack([logits_of(model, text) for text in TEXTS]), NAMES)
    for c, name in enumerate(want.names):
        np.testing.assert_allclose(made[f"probability:{name}"], want.probabilities[:, c], atol=1e-6)
        if rule.kind == "multilabel":
            assert made[f"decision:{name}"].to_list() == want.predictions[:, c].tolist()
    if rule.kind == "multiclass":
        assert made["decision"].to_list() == [want.names[c] for c in want.predictions]
    pl.DataFrame({"words": TEXTS}).write_parquet(tmp_path / "named.parquet")
    again, column = tmp_path / "again.parquet", ("--column", "words")
    file = str(tmp_path / "named.parquet")
    assert run("predict", str(folder), file, *column, "-o", str(again)) == 0
    assert pl.read_parquet(again).drop("id").equals(made.drop("id"))


def test_tokens_are_decided_in_pipeline_and_prediction(tmp_path: Path) -> None:
    names = ["O", "B", "C"]
    model = tiny.bert("Token", 3, id2label=dict(enumerate(names))).eval()
    rule = rule_for("multiclass", names)
    folder = save(model, rule, tmp_path / "model")
    ask = pipeline(
        "token-classification",
        model=str(folder),
        tokenizer=str(folder),
        pipeline_class=RuleTokenClassificationPipeline,
    )
    wanted: list[list[tuple[str, float]]] = []
    for text, entries in zip(TEXTS, ask(TEXTS), strict=True):
        made = decided(rule, logits_of(model, text)[1:-1], names)
        told = [(i, int(c)) for i, c in enumerate(made.predictions)]
        wanted.append([(names[c], made.probabilities[i, c]) for i, c in told])
        entities = [(i, c) for i, c in told if c]
        assert [(e["index"] - 1, e["entity"]) for e in entries] == [
            (i, names[c]) for i, c in entities
        ]
        for entry, (i, c) in zip(entries, entities, strict=True):
            assert entry["score"] == pytest.approx(made.probabilities[i, c], abs=1e-6)
            assert text[entry["start"] : entry["end"]] == entry["word"]
    assert any(name != "O" for row in wanted for name, _ in row)
    with pytest.raises(UsageError, match="aggregation_strategy"):
        ask(TEXTS[0], aggregation_strategy="simple")

    pl.DataFrame({"text": TEXTS}).write_csv(tmp_path / "new.csv")
    out = tmp_path / "out.parquet"
    assert run("predict", str(folder), str(tmp_path / "new.csv"), "-o", str(out)) == 0
    made_rows = pl.read_parquet(out)
    assert made_rows["id"].to_list()[:7] == [f"0:{i}" for i in range(6)] + ["1:0"]
    assert made_rows["decision"].to_list() == [name for row in wanted for name, _ in row]


def test_images_are_decided_in_pipeline_and_prediction(tmp_path: Path) -> None:
    from PIL import Image

    try:
        from transformers import ViTImageProcessorPil as Processor
    except ImportError:  # transformers 4
        from transformers import ViTImageProcessor as Processor
    model = tiny.vit(2, id2label={0: "no", 1: "yes"}).eval()
    rule = rule_for("multiclass", ["no", "yes"])
    folder = save(model, rule, tmp_path / "model")
    Processor(size={"height": 8, "width": 8}).save_pretrained(folder)
    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    files = []
    for i in range(5):
        file = tmp_path / "pictures" / f"{i}.png"
        Image.fromarray(rng.integers(0, 256, (12, 10, 3), dtype=np.uint8)).save(file)
        files.append(str(file))
    ask = pipeline(
        "image-classification",
        model=str(folder),
        image_processor=Processor.from_pretrained(folder),
        pipeline_class=RuleImageClassificationPipeline,
    )
    answers = ask(files)
    out = tmp_path / "out.parquet"
    assert run("predict", str(folder), str(tmp_path / "pictures"), "-o", str(out)) == 0
    made = pl.read_parquet(out)
    assert made["id"].to_list() == [f"{i}.png" for i in range(5)]
    for i, entries in enumerate(answers):
        for entry in entries:
            assert made[f"probability:{entry['label']}"][i] == pytest.approx(entry["score"])
            assert (made["decision"][i] == entry["label"]) == entry["decision"]
    pl.DataFrame({"image": ["0.png", "none.png"]}).write_csv(tmp_path / "pictures" / "list.csv")
    table = str(tmp_path / "pictures" / "list.csv")
    with pytest.raises(DataError, match=r"none\.png` must be a readable image"):
        _predict(folder, table, out)


def _predict(folder: Path, table: str, out: Path, **more: Any) -> Any:
    from equipoise.studies.predict_hugging_face import predict_hugging_face

    return predict_hugging_face(folder, [table], out, **more)


def test_what_is_no_model_with_a_rule_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny.bert("Sequence", 3, id2label=dict(enumerate(NAMES)))
    bare = save(model, None, tmp_path / "bare")
    table = tmp_path / "new.csv"
    pl.DataFrame({"other": TEXTS}).write_csv(table)
    assert run("predict", str(bare), str(table)) == 3
    said = capsys.readouterr().err
    assert "must carry a rule in config.json, got none" in said
    assert "--rule" in said
    rule = rule_for("multiclass", NAMES)
    place = rule.save(tmp_path / "rule.json")
    assert run("predict", str(bare), str(table), "--rule", str(place)) == 3
    assert "must have a column text or sentence" in capsys.readouterr().err

    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "config.json").write_text("{}")
    assert run("predict", str(empty), str(table)) == 3
    assert capsys.readouterr().err.count("\n") == 1
    import transformers

    encoder = transformers.BertModel(model.config)
    encoder.save_pretrained(tmp_path / "encoder")
    with pytest.raises(DataError, match="hold a model for one of SequenceClassification"):
        FolderModel(tmp_path / "encoder")
    with pytest.raises(DataError, match=r"hold a model of transformers, got no config\.json"):
        FolderModel(tmp_path)
    put_rule(model, rule)
    model.save_pretrained(tmp_path / "wordless")
    with pytest.raises(DataError, match=r"hold a Tokenizer, got no tokenizer\*\.json"):
        FolderModel(tmp_path / "wordless")
    with pytest.raises(DataError, match="be for the outputs"):
        put_rule(model, rule_for("multiclass", ["x", "y", "z"]))


def test_a_pipeline_without_a_rule_for_rows_is_refused(tmp_path: Path) -> None:
    several = {"problem_type": "multi_label_classification", "id2label": dict(enumerate(NAMES))}
    model = tiny.bert("Sequence", 3, **several)

    def ask() -> Any:
        given = {"model": model, "tokenizer": tiny.tokenizer()}
        return pipeline(
            "text-classification", pipeline_class=RuleTextClassificationPipeline, **given
        )

    with pytest.raises(DataError, match=r"`model.config` must carry a rule, got none"):
        ask()
    put_rule(model, rule_for("multilabel", NAMES, Budget(0.5)))
    with pytest.raises(UsageError, match="a budget over all rows"):
        ask()
