"""The table of operating points: one row per loss of the catalogue, and what it says."""

from __future__ import annotations

import json

import pytest

from equipoise.cli.main import main
from equipoise.methods import METHODS
from equipoise.methods.operating_points import operating_points


def test_every_loss_of_the_catalogue_has_a_row_per_kind() -> None:
    expected = {
        (m.name, k) for m in METHODS.values() if m.family in ("baseline", "loss") for k in m.kinds
    }
    assert {(p.method, p.labels) for p in operating_points()} == expected


@pytest.mark.parametrize("name", ["class_balanced_sampling", "mixup", "remix", "drw", "drs", "crt"])
def test_nothing_is_claimed_where_no_one_loss_decides(name: str) -> None:
    """Blends and stages have a plain loss; 0.5 and a range of 0 to 1 would be said of it."""
    assert name in METHODS
    assert name not in {p.method for p in operating_points()}


def test_known_points() -> None:
    labels = {p.method: p.at_half for p in operating_points("multilabel")}
    assert labels["none"] == (0.5, 0.5)
    assert labels["pos_weight"] == (0.1, 0.4)
    classes = {p.method: p.at_half for p in operating_points("multiclass")}
    assert classes["logit_adjusted"] == (0.7, 0.25, 0.05)


def test_the_verb_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["methods", "--operating-points", "--kind", "multilabel"])
    assert not stop.value.code
    lines = capsys.readouterr().out.splitlines()
    assert "true probability at output 0.5" in lines[0]
    assert any(line.startswith("pos_weight") and " 0.1 / 0.4 " in line for line in lines)
    with pytest.raises(SystemExit):
        main(["methods", "--operating-points", "--json"])
    assert {"method", "at_half", "valid_range"} <= set(json.loads(capsys.readouterr().out)[0])
