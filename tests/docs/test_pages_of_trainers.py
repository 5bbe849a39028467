"""The pages on other trainers run as they stand, and end in probabilities and decisions."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from equipoise.artifacts.scores import default_flags

DOCS = Path(__file__).parents[2] / "docs"


def run(page: str, **swap: str) -> dict[str, Any]:
    text = (DOCS / page).read_text(encoding="utf-8")
    space: dict[str, Any] = {"__name__": "page"}
    for old, new in swap.items():
        assert old in text
        text = text.replace(old, new)
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, page, "exec"), space)  # noqa: S102
    return space


def require_good(space: dict[str, Any]) -> None:
    """Corrected probabilities add up, and decisions gain on the cut that nobody chose."""
    rule, test = space["rule"], space["test"]
    made = rule.apply(test)
    share = made.probabilities.mean(0) / test.labels.prevalence
    assert (share > 0.9).all(), share
    assert (share < 1.1).all(), share
    plain = default_flags(test) if test.kind == "multilabel" else test.values.argmax(1)
    before, after = (
        f1_score(test.labels.values, flags, average="macro") for flags in (plain, made.predictions)
    )
    assert after > before + 0.01


def test_the_page_on_accelerate_runs() -> None:
    require_good(run("accelerate.md"))


@pytest.mark.parametrize("namespace", ["lightning.pytorch", "pytorch_lightning"])
def test_the_page_on_lightning_runs_in_both_namespaces(namespace: str) -> None:
    with warnings.catch_warnings():
        # Lightning's advice on workers, and on the versions of its own parts.
        warnings.simplefilter("ignore")
        space = run("lightning.md", **{"import lightning.pytorch as": f"import {namespace} as"})
    assert space["pl"].__name__ == namespace
    require_good(space)


def test_the_page_on_skorch_runs(capsys: pytest.CaptureFixture[str]) -> None:
    space = run("skorch.md")
    require_good(space)
    predicted, true = map(float, capsys.readouterr().out.split()[1:3])
    assert predicted == pytest.approx(true, rel=0.25)
    assert space["net"].iterator_train__sampler.epoch == 2


def test_the_page_on_scikit_learn_runs(capsys: pytest.CaptureFixture[str]) -> None:
    space = run("scikit_learn.md")
    printed = capsys.readouterr().out.splitlines()
    before, after = map(float, re.findall(r"\d+\.\d+", printed[0]))
    assert before > 2
    assert 0.9 < after < 1.1
    assert printed[1:] == ["['age', 'dose', 'site_a', 'site_b']", "f1"]
    plain, tuned, test, y = (space[name] for name in ("plain", "tuned", "test", "y_test"))
    assert f1_score(y, tuned.predict(test)) > f1_score(y, plain.predict(test)) + 0.01


@pytest.mark.extras
def test_the_page_on_mlflow_runs(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's advice on type hints and on where it writes
        space = run("mlflow.md")
    share = float(re.search(r"predicted over true: ([\d.]+)", capsys.readouterr().out).group(1))
    assert 0.9 < share < 1.1
    y, answers = space["y"], space["answers"]
    default = space["logits"] > 0
    assert f1_score(y, answers["decision:ill"]) > f1_score(y, default) + 0.01
    assert not list(Path(space["folder"], "model").rglob("*.pkl"))
    np.testing.assert_array_equal(
        answers["decision:ill"],
        space["rule"]
        .apply(
            space["eq"].Scores.from_arrays(
                None, logits=space["logits"], split="new", kind="multilabel", names=["ill"]
            )
        )
        .predictions[:, 0],
    )


def test_the_page_on_fastai_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Where it is installed: it asks for torchvision, which would bring another torch."""
    pytest.importorskip("fastai", exc_type=ImportError)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        space = run("fastai.md")
    require_good(space)
    predicted, true = map(float, capsys.readouterr().out.split("rare: ")[1].split()[:2])
    assert predicted == pytest.approx(true, rel=0.25)
    assert space["loaders"].train.sampler.epoch == 2
