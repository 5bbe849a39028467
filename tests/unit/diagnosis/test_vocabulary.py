"""Names in set-ups: known ones pass, others are answered and not taken for checked."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from equipoise import losses
from equipoise.diagnosis import read_setup
from equipoise.diagnosis._vocabulary import LOSS_METHODS, LOSSES, SAMPLER_METHODS
from equipoise.errors import DataWarning, UsageError
from equipoise.methods import METHODS
from equipoise.studies.set_ups import read_setups, setups_of_study


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ({"loss": "focal_loss"}, "Did you mean `sigmoid_focal_loss`"),
        ({"loss": "binary_crossentropi"}, "Did you mean `binary_crossentropy`"),
        ({"loss": "my_own_thing"}, "nothing about it is checked"),
        ({"sampler": "WeightedRandomSampler2"}, "Did you mean `WeightedRandomSampler`"),
        ({"metrics": ["recal"]}, "Did you mean `recall`"),
    ],
)
def test_an_unknown_name_is_answered(said: dict[str, object], hint: str) -> None:
    with pytest.warns(DataWarning, match="is not known here") as told:
        made = read_setup(said)
    assert hint in str(told[0].message)
    key = next(iter(said))
    assert getattr(made, key) in (said[key], tuple(said[key]))


def test_known_names_in_any_spelling_pass() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for loss in ("focal", "BinaryCrossentropy", "bce-with-logits-loss", "SigmoidFocalLoss"):
            assert read_setup({"loss": loss}).loss == loss
        read_setup({"metrics": "AUC", "sampler": "class_balanced_sampling"})


def test_the_vocabulary_holds_the_catalogue_and_every_public_loss() -> None:
    families = {name: m.family for name, m in METHODS.items()}
    assert set(LOSS_METHODS) == {n for n, f in families.items() if f == "loss"}
    assert set(SAMPLER_METHODS) == {
        n for n, f in families.items() if f in ("sampler", "resampling")
    }
    bases = {"Loss", "ClassLoss"}
    assert {n for n in losses.__all__ if n.endswith("Loss")} - bases <= set(LOSSES)


def test_arms_of_a_study_that_do_not_exist_are_answered(tmp_path: Path) -> None:
    with pytest.warns(DataWarning, match="Did you mean `focal`"):
        setups_of_study({"arms": ["none", "focall"]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(setups_of_study({"arms": ["none", "prevalence", "m:f", "focal"]})) == 4
    file = tmp_path / "s.yaml"
    file.write_text("loss: focal_loss\nlr: 0.1\n")
    with pytest.warns(DataWarning, match="`s.loss` 'focal_loss' is not known here"):
        read_setups(file)


def test_what_boosters_call_weights_is_answered_with_what_set_ups_call_them() -> None:
    for key, value, called in (
        ("scale_pos_weight", 20, r"Say `pos_weight: \[W\]`"),
        ("is_unbalance", True, "Say `class_weight: balanced`"),
        ("auto_class_weights", "Balanced", "Say `class_weight: balanced`"),
        ("class_weights", [1, 20], "Say `class_weight`"),
    ):
        with pytest.raises(UsageError, match=called):
            read_setup({key: value})
