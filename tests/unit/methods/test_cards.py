"""Every method has a card, and what it says is so."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from equipoise._core.codes import CODES
from equipoise.errors import UsageError
from equipoise.methods import METHODS, card, get_method, method_card
from equipoise.methods.card import HEADINGS, written_sections

ROOT = Path(__file__).parents[3]
FOLDER = Path(card.__file__).parent / "cards"
RESULTS = ROOT / "benchmarks" / "results"
STORIES = ROOT / "docs" / "stories"
WRITTEN = {name: (FOLDER / f"{name}.md").read_text(encoding="utf-8") for name in METHODS}


def section(name: str, heading: str) -> str:
    return written_sections(name)[heading]


def test_every_method_has_one_card_and_every_card_a_method() -> None:
    assert sorted(p.stem for p in FOLDER.iterdir()) == sorted(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_a_card_has_the_headings_in_their_order_and_says_something_under_each(name: str) -> None:
    found = re.findall(r"^## (.+)$", WRITTEN[name], flags=re.MULTILINE)
    assert tuple(found) == HEADINGS[:-1]
    assert all(section(name, heading) for heading in found)
    assert not WRITTEN[name].startswith("# ")
    assert max(len(line) for line in WRITTEN[name].splitlines() if line[:1] != "-") <= 160


def test_a_whole_card_has_all_headings_with_what_the_code_knows() -> None:
    text = method_card("logit_adjusted")
    assert tuple(re.findall(r"^## (.+)$", text, flags=re.MULTILINE)) == HEADINGS
    assert "| `tau` | `1.0` |" in text
    assert "- For: classes\n- Family: loss, an arm by default\n- Undone: exact\n" in text
    assert "Menon et al., ICLR 2021, eq. 10." in text
    assert text.endswith("- `equipoise.keras.losses.LogitAdjustedLoss`\n")
    assert "of models of tables lightgbm, xgboost\n" in text
    assert "Joined by `+` with a sampler, mixing or a second stage." in text


WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "monai"):
            raise ImportError(name)
sys.meta_path.insert(0, Missing())
from equipoise.methods import METHODS, method_card
print(len([method_card(name) for name in METHODS]))
print(method_card("focal"))
"""


def test_cards_are_printed_without_torch() -> None:
    ran = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(f"{len(METHODS)}\n# focal\n")
    assert "models of tables: not known without a package that is missing here" in ran.stdout
    assert "- `equipoise.losses.SigmoidFocalLoss`" in ran.stdout


def test_names_that_are_none_are_answered() -> None:
    with pytest.raises(UsageError, match="Did you mean `focal`"):
        method_card("focall")
    with pytest.raises(UsageError, match="Ask for its parts one by one"):
        method_card("focal+mixup")


@pytest.mark.parametrize("name", METHODS)
def test_codes_and_settings_on_a_card_exist(name: str) -> None:
    text = WRITTEN[name]
    assert set(re.findall(r"EQ\d{3}", text)) <= set(CODES)
    # `setting: value` as a study has it, of this method or, where it is spoken of, of another.
    every = {key for method in METHODS.values() for key in method.settings} | {"counts"}
    said = re.findall(r"`(\w+): [^`]+`", section(name, "Start with"))
    assert set(said) <= set(METHODS[name].settings), name
    assert set(re.findall(r"`(\w+): [^`]+`", text)) <= every, name


def test_words_in_backquotes_are_methods_or_settings() -> None:
    settings = {key for method in METHODS.values() for key in method.settings}
    for name, text in WRITTEN.items():
        before, _, _ = text.partition("## Source")
        for word in re.findall(r"`([a-z_+]+)`", before):
            parts = word.split("+")
            known = all(part in METHODS for part in parts) or word in settings
            assert known or word in ("set_epoch", "fit", "scale_pos_weight", "drop"), (name, word)
            if "+" in word:
                get_method(word)


@pytest.mark.parametrize("name", METHODS)
def test_what_a_card_points_to_is_public(name: str) -> None:
    for target in re.findall(r"`(equipoise\.[\w.]+)`", method_card(name)):
        room, _, last = target.rpartition(".")
        module = importlib.import_module(room)
        public = getattr(module, "__all__", None)
        assert hasattr(module, last), target
        assert public is None or last in public, target


def test_the_loss_and_the_rows_of_a_method_stand_in_its_api() -> None:
    for name, method in METHODS.items():
        made = card._made(method) or {}
        listed = "\n".join(card._api_lines(method, made))
        for remedy in made.values():
            kind = type(remedy.loss)
            plain = kind.__name__ in ("BCELoss", "CrossEntropyLoss")
            assert plain or kind.__name__ in listed, name
            drawn = remedy.sampler
            while hasattr(drawn, "func"):
                drawn = drawn.func
            assert drawn is None or drawn.__name__ in listed, name


def test_losses_of_keras_are_those_that_keras_has() -> None:
    losses = importlib.import_module("equipoise.losses")
    keras = pytest.importorskip("equipoise.keras.losses")
    shared = {
        name
        for name in losses.__all__
        if isinstance(getattr(losses, name), type) and card._has_keras(getattr(losses, name))
    }
    bases = {"Loss", "ClassLoss"}
    assert shared - bases == set(keras.__all__) & set(losses.__all__) - bases


# What was measured ------------------------------------------------------------------------------

NUMBER = r"[+-]?\b\d\.\d{2,3}\b"
LINES = [
    (name, line)
    for name in METHODS
    for line in re.findall(r"^- (.+)$", section(name, "Measured"), flags=re.MULTILINE)
]


def rows_of(text: str, arm: str) -> list[str]:
    """Return the rows of tables about an arm, but for those of recalls."""
    return [r for r in text.splitlines() if re.match(rf"{re.escape(arm)}  ", r) and "%)" not in r]


def claims(name: str, line: str) -> list[tuple[str, list[str]]]:
    """Return what a line says, each claim with the rows of the table that it quotes."""
    called = re.search(r'there "([^"]+)"', line)
    arms = [called[1]] if called else ["none", "none + thresholds"] if name == "none" else [name]
    if not line.startswith("`"):
        page = (STORIES / f"{line.partition(',')[0]}.md").read_text(encoding="utf-8")
        assert ", small" in line, line
        text, _, _ = page.partition("\nFull size")
        return [(line, [row for arm in arms for row in rows_of(text, arm)])]
    studies = json.loads((RESULTS / line.split("`")[1]).read_text(encoding="utf-8"))["rows"]
    tables = {study["study"]: "\n".join(study["table"]) for study in studies}
    found = []
    for claim in line.partition("`, ")[2].split("; "):
        text = tables[re.split(r"[:,]", claim)[0]]
        found.append((claim, [row for arm in arms for row in rows_of(text, arm)]))
    return found


@pytest.mark.parametrize(("name", "line"), [x for x in LINES if "[" in x[1] and "](" not in x[1]])
def test_an_interval_and_a_verdict_are_those_of_the_table(name: str, line: str) -> None:
    for claim, rows in claims(name, line):
        assert len(rows) == 1, claim
        verdict = re.search(r"\], (.+?)\.?$", claim)
        assert verdict is not None, claim
        assert rows[0].rstrip().endswith(f"  {verdict[1]}"), (claim, rows)
        for number in re.findall(NUMBER, claim):
            assert number in rows[0], (claim, rows)


@pytest.mark.parametrize(("name", "line"), [x for x in LINES if x[0] == "none"])
def test_what_thresholds_alone_gave_is_in_the_table(name: str, line: str) -> None:
    if "recommended" in line:
        studies = json.loads((RESULTS / line.split("`")[1]).read_text(encoding="utf-8"))["rows"]
        times = sum(study["recommended"] == "none + thresholds" for study in studies)
        assert f"in {times} of {len(studies)} studies" in line
        return
    ((claim, (untreated, tuned)),) = claims(name, line)
    before, after = re.findall(NUMBER, claim)
    assert before in untreated
    assert after in tuned


@pytest.mark.parametrize(("name", "line"), [x for x in LINES if "boosters.json" in x[1]])
def test_numbers_of_boosters_are_those_of_the_file(name: str, line: str) -> None:
    rows = json.loads((RESULTS / line.split("`")[1]).read_text(encoding="utf-8"))["rows"]
    table = re.search(r"LightGBM, ([\w %]+)", line)
    gamma = re.search(r"gamma (\d)", line)
    assert table is not None
    settings = f" {{'gamma': {gamma[1]}.0}}" if gamma else ""
    of = {
        r["remedy"]: r for r in rows
        if r["booster"] == "lightgbm" and r["table"] == table[1].removesuffix(" positives")
    }  # fmt: skip
    own, plain = of[name + settings], of["none"]
    known = {"over": own["raw"], "undone": own["inverse"], "shift": own["shifted"],
             "inverse": own["loss_inverse"], "untreated": plain["loss_raw"]}  # fmt: skip
    said = re.findall(rf"(over|undone|shift|inverse|untreated)[\w ]* ({NUMBER})", line)
    assert said
    assert len(said) == len(re.findall(NUMBER, line))
    for what, number in said:
        digits = len(number) - 2
        assert f"{known[what]:.{digits}f}" == number, (line, what)


def test_a_card_without_numbers_says_that_nothing_was_measured() -> None:
    for name in METHODS:
        lines = section(name, "Measured").splitlines()
        assert lines == ["Not measured."] or all(line.startswith("- ") for line in lines), name


# What it is joined with --------------------------------------------------------------------------

PARTNERS = {
    "a sampler": "repeat_factor",
    "mixing": "mixup",
    "a second stage": "crt",
    "a loss or a schedule": "focal",
}


@pytest.mark.parametrize("name", METHODS)
def test_what_a_card_joins_can_be_joined_and_nothing_else_of_another_family(name: str) -> None:
    method = METHODS[name]
    made = card._made(method)
    said = card._joins(method, made)
    labels = card._example(method.kinds[0])
    for words, partner in PARTNERS.items():
        if card._JOINED.get(method.family) is None or METHODS[partner].family == method.family:
            continue
        if words == "a loss or a schedule" and method.family == "schedule":
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                get_method(f"{name}+{partner}").build(labels)
        except UsageError:
            assert words not in said, (name, partner)
        else:
            assert words in said or method.family == "loss", (name, partner)
