"""Pictures of a training: the right curves, the same file every time, names as they are."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np

from equipoise.artifacts import Trial
from equipoise.report.pictures import recall_curves, training_curves

SVG = "{http://www.w3.org/2000/svg}"


def trial(epochs: int = 6, labels: int = 3, **changes: Any) -> Trial:
    history = [
        {"epoch": e, "loss": 1 / (e + 1), "val_loss": 2 / (e + 1), "val_metric": e / 10, "lr": 0.1}
        for e in range(epochs)
    ]
    names = [f"label {i:02d}" for i in range(labels)]
    recalls = [
        {"epoch": e, "label": name, "drawn": 1, "recall": e / epochs}
        for e in range(epochs)
        for name in names
    ]
    counts = {name: 100 - i for i, name in enumerate(names)}
    made = Trial("a", 0, {}, 9, 9, counts, counts, history, {}, {"metric": "macro AP", "epoch": 3})
    return replace(made, **{"label_history": recalls, **changes})


def words(svg: str) -> list[str]:
    return [("".join(t.itertext())).strip() for t in ET.fromstring(svg).iter(f"{SVG}text")]  # noqa: S314


def curves(svg: str, colour: str) -> list[np.ndarray]:
    """Return the points of each line of one colour, in picture coordinates."""
    found = []
    for path in ET.fromstring(svg).iter(f"{SVG}path"):  # noqa: S314
        if f"stroke: {colour}" in path.get("style", "") and "fill: none" in path.get("style", ""):
            numbers = re.findall(r"[ML] ([\d.]+) ([\d.]+)", path.get("d", ""))
            found.append(np.array(numbers, dtype=float))
    return found


def test_three_panels_with_the_numbers_of_the_history() -> None:
    svg = training_curves(trial())
    told = words(svg)
    for word in (
        "loss",
        "macro AP",
        "learning rate",
        "training",
        "validation",
        "epoch (3 is kept)",
    ):
        assert word in told
    lines = curves(svg, "#0072b2")
    assert [len(line) for line in lines[:1]] == [6]
    (metric,) = [line for line in lines if len(line) == 6 and np.ptp(np.diff(line[:, 1])) < 1e-3
                 and np.ptp(line[:, 1]) > 1]  # fmt: skip
    assert (np.diff(metric[:, 1]) < 0).all()  # rises: up is less in SVG
    loss = lines[0]
    heights = loss[0, 1] - loss[:, 1]
    want = np.array([1 / (e + 1) for e in range(6)])
    np.testing.assert_allclose(heights / heights[-1], (want - 1) / (want[-1] - 1), atol=1e-3)


def test_the_same_history_gives_the_same_file_whatever_the_settings() -> None:
    before = dict(mpl.rcParams)
    one = training_curves(trial()), recall_curves(trial())
    assert dict(mpl.rcParams) == before
    with mpl.rc_context({"font.size": 30, "svg.fonttype": "path", "lines.marker": "x"}):
        again = training_curves(trial()), recall_curves(trial())
    assert again == one
    assert not re.search(r"20\d\d-\d\d", one[0])
    assert "http" not in re.sub(r"http://(www\.w3\.org|purl\.org|creativecommons\.org)", "", one[0])


def test_a_second_stage_follows_the_first() -> None:
    alone = trial()
    second = [{**row, "stage": 2} for row in alone.history[:2]]
    both = training_curves(replace(alone, history=[*alone.history, *second]))
    assert [len(line) for line in curves(both, "#0072b2")[:2]] == [6, 2]
    first, later = curves(both, "#0072b2")[:2]
    assert later[0, 0] > first[-1, 0]


def test_one_epoch_and_missing_numbers_can_be_drawn() -> None:
    one = trial(1)
    assert "epoch (3 is kept)" in words(training_curves(one))
    gaps = [{"epoch": 0, "loss": math.nan}, {"epoch": 1, "loss": 0.5}]
    assert "epoch (3 is kept)" in words(training_curves(replace(one, history=gaps)))
    assert recall_curves(replace(one, label_history=())) is None


def test_of_many_labels_the_rarest_are_drawn_and_the_picture_says_so() -> None:
    few, many = recall_curves(trial(labels=8)), recall_curves(trial(labels=12))
    assert few is not None
    assert many is not None
    assert "Recall on validation rows, rarest first" in words(few)
    told = words(many)
    assert "Recall on validation rows, the 8 rarest of 12 labels" in told
    drawn = [word for word in told if word.startswith("label ")]
    assert drawn == [f"label {i:02d} ({100 - i})" for i in range(11, 3, -1)]


def test_labels_without_positives_are_left_out() -> None:
    made = trial(labels=2)
    blank = [
        {**row, "recall": math.nan if row["label"] == "label 01" else row["recall"]}
        for row in made.label_history
    ]
    told = words(recall_curves(replace(made, label_history=blank)) or "")
    assert "label 00 (100)" in told
    assert not [word for word in told if "label 01" in word]
    none = [{**row, "recall": math.nan} for row in made.label_history]
    assert recall_curves(replace(made, label_history=none)) is None


def test_names_are_drawn_as_they_are() -> None:
    names = ["_hidden", "price $x_1$", "<b>&", "\N{CJK UNIFIED IDEOGRAPH-732B}", "long " * 20]
    rows = [{"epoch": 0, "label": name, "drawn": 1, "recall": 0.5} for name in names]
    counts = dict.fromkeys(names, 10)
    told = words(recall_curves(replace(trial(1), label_history=rows, train_counts=counts)) or "")
    for name in names[:4]:
        assert f"{name} (10)" in told
    (cut,) = [word for word in told if word.startswith("long")]
    assert len(cut) < 32
