"""`equipoise recipes`, and every small recipe from its name to its report."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from equipoise import Comparison, DecisionRule, Evaluation, Scores
from equipoise.cli.main import main
from equipoise.studies.recipe import load_recipe, recipe_names

Run = Callable[..., tuple[int, str, str]]
DOCS = Path(__file__).parents[2] / "docs" / "stories"
# Fewer seeds, rows and epochs than the recipe itself: what it is about stays.
CUT = {
    "cifar-lt": ("training.epochs=2",),
    "cifar10-vgg16": ("training.epochs=2", "split.total=200"),
    "four-label-images": ("data.rows=600", "data.test_rows=300", "training.epochs=3"),
    "keras-sequences": ("training.epochs=1",),
    "mulan": ("training.epochs=3",),
    "rescale-and-mine": ("data.rows=4000", "data.test_rows=2000", "training.epochs=3"),
}
SEEDS = 1
TRAINED = sorted(name for name in recipe_names() if load_recipe(name).verb == "compare")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main([str(w) for w in words])
        seen = capsys.readouterr()
        return int(left.value.code or 0), seen.out, seen.err

    return call


def test_all_are_listed_with_their_sizes_and_files(run: Run) -> None:
    code, out, _ = run("recipes", "--json")
    listed = {body["name"]: body for body in json.loads(out)}
    assert code == 0
    assert set(listed) == set(TRAINED) | {"decisions-only"}
    for name, body in listed.items():
        assert body["title"]
        assert body["story"].endswith(".")
        assert body["sizes"]["small"]["files"] == {}
        assert body["sizes"]["full"]["files"] == load_recipe(name).full.files != {}
    code, out, _ = run("recipes", "mulan")
    assert code == 0
    assert out.splitlines()[0] == "mulan: Many labels of a table"
    assert "    yeast.npz: 2,417 rows" in out
    assert "decisions-only" not in out


def test_every_recipe_has_a_page() -> None:
    pages = {path.stem for path in DOCS.glob("*.md")} - {"index"}
    assert pages == set(recipe_names())
    index = (DOCS / "index.md").read_text("utf-8")
    for name in recipe_names():
        assert f"\n{name}\n" in index  # in its table of contents
        page = (DOCS / f"{name}.md").read_text("utf-8")
        heads = re.findall(r"^## (.+)$", page, re.MULTILINE)
        assert heads[:4] == ["What was seen", "What it means", "What to do", "What came of it"]
        assert f"equipoise compare --recipe {name}" in page


# What two of them are about: a setting that does nothing, and two corrections at once.
TOLD = {
    "rescale-and-mine": "'focal gamma 0' trains as 'none' does, step by step",
    "cifar10-vgg16": "the loss weighs it 6.12-fold and the sampler 7.61-fold",
}
told = pytest.mark.filterwarnings(
    "default::equipoise.errors.NoEffectWarning",
    "default::equipoise.errors.DoubleCorrectionWarning",
)


@told
@pytest.mark.parametrize("name", TRAINED)
def test_a_small_recipe_runs_from_end_to_end(name: str, run: Run, tmp_path: Path) -> None:
    sets = [word for cut in (*CUT[name], f"seeds={SEEDS}") for word in ("--set", cut)]
    asked = ("compare", "--recipe", name, "-o", tmp_path, *sets)
    code, out, err = run(*asked, "--json")
    assert code == 0, err
    made = Comparison.load(tmp_path / "comparison.json")
    arms = [arm.method for arm in made.arms]
    study = made.provenance["study"]
    wanted = {arm.get("name") or arm["method"] for arm in study["arms"]}
    assert set(arms) == wanted | {"none", "none + thresholds"}
    assert made.title == load_recipe(name).title
    assert made.provenance["command"] == f"equipoise compare --recipe {name} --size small"
    assert json.loads(out)["recommended"] in arms
    assert (tmp_path / "report.html").stat().st_size > 10_000
    # What is finished is used again.
    code, _, err = run(*asked, "--json")
    assert code == 0
    assert re.search(r"^0 trials trained, \d+ re-used", err, re.MULTILINE)


def test_what_the_inverse_leaves_of_four_labels_is_read_from_the_trials(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script of the page, on a small run: undone, weights find what no treatment finds."""
    monkeypatch.chdir(tmp_path)
    sets = (*CUT["four-label-images"], "seeds=2", "arms=[none, pos_weight]")
    code, _, err = run(
        "compare", "--recipe", "four-label-images", *(w for s in sets for w in ("--set", s))
    )
    assert code == 0, err
    page = (DOCS / "four-label-images.md").read_text("utf-8")
    (script,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(script, {})  # noqa: S102
    none, weights = (line.split("  ", 1) for line in said.getvalue().splitlines())
    assert (none[0].strip(), weights[0].strip()) == ("none", "pos_weight")
    raw = {arm.method: arm for arm in Comparison.load(made_in(tmp_path)).arms}
    for said_of, method in ((none, "none"), (weights, "pos_weight")):
        numbers = np.array(re.findall(r"[\d.]+", said_of[1]), dtype=float)
        shares = np.array([raw[method].flagged[n][0] for n in "ABCD"])
        close = np.abs(numbers[1::2] / 100 - shares) < 6e-4
        assert close.all() == (method == "none")


def _told() -> list[str]:
    """Return the comparisons that the stories print, without those that need files."""
    found = []
    for page in sorted(DOCS.glob("*.md")):
        for block in re.findall(
            r"^```sh\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE
        ):
            lines = re.sub(r"\s*\\\n\s*", " ", block).splitlines()
            found += [line for line in lines if "compare --recipe" in line and "--data" not in line]
    return sorted({line.split("  #")[0].strip() for line in found})


@told
@pytest.mark.parametrize("line", _told())
def test_every_comparison_that_a_story_prints_is_planned(
    line: str, run: Run, tmp_path: Path
) -> None:
    program, *words = shlex.split(line)
    assert program == "equipoise"
    plan = [] if "--dry-run" in words else ["--dry-run"]
    code, out, err = run(*words, *plan, "--json", "-o", tmp_path)
    assert code == 0, err
    assert json.loads(out)


def made_in(folder: Path) -> Path:
    return folder / "equipoise_runs" / "four-label-images-small" / "comparison.json"


@told
@pytest.mark.parametrize("name", TRAINED)
def test_a_small_recipe_plans_as_it_is(name: str, run: Run, tmp_path: Path) -> None:
    code, out, err = run("compare", "--recipe", name, "-o", tmp_path, "--dry-run", "--json")
    assert code == 0, err
    assert TOLD.get(name, "") in err
    assert ("equipoise: note: " in err) == (name in TOLD)
    rows = json.loads(out)
    assert len({row["seed"] for row in rows}) >= 3
    assert list(tmp_path.iterdir()) == []


def test_scores_are_judged_without_training(run: Run, tmp_path: Path) -> None:
    code, out, err = run("compare", "--recipe", "decisions-only", "-o", tmp_path, "--json")
    assert code == 0, err
    body = json.loads(out)
    test = Scores.load(tmp_path / "test.parquet")
    rule = DecisionRule.load(tmp_path / "rule.json")
    labels = test.require_labels().values
    flags = rule.apply(test).predictions
    for column, name in enumerate(test.names):
        hot = labels[:, column] == 1
        own = body["labels"][name]
        assert own["positives"] == hot.sum()
        plain = test.values[:, column] > 0
        assert own["flagged"] == pytest.approx([plain.mean(), (flags[:, column] == 1).mean()])
        assert own["recall"] == pytest.approx([plain[hot].mean(), (flags[hot, column] == 1).mean()])
    # Weighted outputs flag a rare label for every sixth row; the rule for about as many as have it.
    assert body["labels"]["F"]["flagged"][0] > 0.1
    assert body["labels"]["F"]["flagged"][1] < 0.02
    assert Evaluation.load(tmp_path / "evaluation.json").n_rows == len(test)
    assert (tmp_path / "report.html").is_file()
    # The files are those of the verbs that do the same one by one.
    again = tmp_path / "again.json"
    code, _, _ = run("tune", tmp_path / "val.parquet", "-o", again, "--objective", "f1")
    assert code == 0
    assert np.array_equal(DecisionRule.load(again).thresholds, rule.thresholds)
    code, out, _ = run("compare", "--recipe", "decisions-only", "--dry-run")
    assert (code, out) == (0, "3000 rows to tune on, 3000 to judge on, 6 labels\n")


def test_the_full_size_reads_its_files(run: Run, tmp_path: Path, rng: np.random.Generator) -> None:
    hot = (rng.random((300, 3)) < 0.3).astype(np.uint8)
    x = (rng.normal(size=(300, 4)) + hot[:, :1]).astype(np.float32)
    split = np.repeat([0, 1], [200, 100])
    for name in ("yeast.npz", "another.npz"):
        np.savez(tmp_path / name, X=x, Y=hot, split=split, label_names=["a", "b", "c"])
    cut = ("--set", "seeds=1", "--set", "training.epochs=2", "--set", "arms=[none, ml_ros]")
    for data in (tmp_path, tmp_path / "another.npz"):
        out = tmp_path / data.stem
        code, _, err = run("compare", "--recipe", "mulan", "--data", data, "-o", out, *cut)
        assert code == 0, err
        made = Comparison.load(out / "comparison.json")
        assert made.provenance["command"].endswith(f"--recipe mulan --size full --data {data}")
        assert [arm.method for arm in made.arms] == ["none", "none + thresholds", "ml_ros"]
        assert made.provenance["study"]["data"]["path"].endswith(
            "another.npz" if data.suffix else "yeast.npz"
        )


WRONG = {
    "unknown": (2, ["--recipe", "mulane"], ("`--recipe` must be a recipe, got 'mulane'. "
                "Did you mean `mulan`?")),
    "size": (2, ["--recipe", "mulan", "--size", "fulll"], ("`--size` must be small or full, got "
             "'fulll'. Did you mean `full`?")),
    "no data": (2, ["--recipe", "mulan", "--size", "full"], ("`--data` must name the folder that "
                "holds yeast.npz (2,417 rows")),
    "needless data": (2, ["--recipe", "mulan", "--size", "small", "--data", "."], ("`--data` must "
                      "be left out of the small size of mulan")),
    "missing": (3, ["--recipe", "mulan", "--data", "."], ("`--data` must hold yeast.npz, 2,417 "
                "rows, 103 features")),
    "nowhere": (3, ["--recipe", "mulan", "--data", "nowhere"], "got no folder 'nowhere'"),
    "two sources": (2, ["study.yaml", "--recipe", "mulan"], "without a source, got 'study.yaml'"),
    "columns": (2, ["--recipe", "mulan", "--label", "y"], "`--label` must be left out beside"),
    "no recipe": (2, ["study.yaml", "--size", "full"], "`--size` must come with a recipe"),
    "nothing": (2, [], "--recipe NAME of `equipoise recipes`"),
    "key": (2, ["--recipe", "mulan", "--set", "sedes=3"], "Did you mean `seeds`?"),
    "key of scores": (2, ["--recipe", "decisions-only", "--set", "rule.objectiv=f2"],
                      "Did you mean `objective`?"),
    "no training": (2, ["--recipe", "decisions-only", "--max-time", "3m"], ("`--max-time` must be "
                    "for a recipe that trains")),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_one_line(
    case: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wanted, words, message = WRONG[case]
    code, out, err = run("compare", *words)
    assert (code, out) == (wanted, "")
    assert message in err
    assert err.count("\n") == 1


def test_an_unknown_recipe_is_not_listed(run: Run) -> None:
    code, out, err = run("recipes", "four-label-image")
    assert (code, out) == (2, "")
    assert "Did you mean `four-label-images`?" in err
