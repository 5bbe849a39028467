"""Settings of kinds of models: every arm on one meets the same, and what has none takes none."""

from __future__ import annotations

from typing import Any

import pytest

from equipoise.errors import UsageError
from equipoise.studies.families import first_round, require_models
from equipoise.studies.grid import settings_of
from equipoise.studies.schema import Study, parse_study

FOREST = {"name": "random_forest", "grid": {"max_depth": [2, 4, 8], "min_samples_leaf": [1, 5]}}
LOGISTIC = {"name": "logistic_regression", "grid": {"inverse_strength": [0.1, 1.0]}}


def study(arms: list[Any], models: list[Any], **changes: Any) -> Study:
    return parse_study({"data": {"source": "digits"}, "arms": arms, "models": models, **changes})


def on_forest(*methods: Any) -> list[Any]:
    arms = [{"method": m} if isinstance(m, str) else m for m in methods]
    return [{**arm, "model": "random_forest"} for arm in arms]


def test_arms_on_a_model_meet_its_settings_in_one_order() -> None:
    grid = {"method": "weighted_ce", "grid": {"power": [0.5, 1.0]}}
    found = settings_of(study(on_forest("none", "smote", grid), [FOREST]))
    assert {arm: len(each) for arm, each in found.items()} == dict.fromkeys(found, 6)
    met = [[setting.of_model for setting in found[arm]] for arm in found]
    assert met[0] == met[1] == met[2]
    assert sorted(str(sorted(m.items())) for m in met[0]) == sorted(
        str([("max_depth", d), ("min_samples_leaf", s)]) for d in (2, 4, 8) for s in (1, 5)
    )
    assert all(setting.lr is None for each in found.values() for setting in each)
    # Both powers are tried, each with some of the model's settings.
    assert {setting.settings["power"] for setting in found["weighted_ce"]} == {0.5, 1.0}


def test_fewer_settings_are_the_first_of_all_and_as_many_for_every_arm() -> None:
    arms = on_forest("none", "smote")
    six, three = (
        settings_of(study(arms, [FOREST], **({"tuning": {"settings": n}} if n else {})))
        for n in (None, 3)
    )
    assert all(three[arm] == six[arm][:3] for arm in six)
    with pytest.raises(UsageError, match="`none` has 6 settings"):
        settings_of(study(arms, [FOREST], tuning={"settings": 7}))


def test_untreated_models_are_compared_with_what_each_has() -> None:
    asked = study(["none", "smote"], [FOREST, LOGISTIC, "hist_gradient_boosting", "mlp"])
    found = settings_of(first_round(asked))
    sizes = {arm: len(each) for arm, each in found.items()}
    assert sizes == {
        "none": 6, "logistic_regression": 2, "hist_gradient_boosting": 1, "mlp": 1,
    }  # fmt: skip
    fewer = settings_of(first_round(asked.model_copy(update={
        "tuning": asked.tuning.model_copy(update={"settings": 2})})))  # fmt: skip
    assert {arm: len(each) for arm, each in fewer.items()} == {**sizes, "none": 2}


def test_heads_beside_models_keep_their_own_rates() -> None:
    arms = [{"method": "none", "model": "mlp"}, *on_forest({"method": "none", "name": "forest"})]
    tuned = study(arms, [FOREST, "mlp"], tuning={"lr": [0.001, 0.01]})
    found = settings_of(tuned)
    assert [setting.lr for setting in found["none"]] in ([0.001, 0.01], [0.01, 0.001])
    assert all(not setting.of_model for setting in found["none"])
    assert len(found["forest"]) == 6


def test_a_remedy_is_not_tuned_where_the_untreated_model_is_not() -> None:
    smote = {"method": "smote", "grid": {"ratio": [0.5, 1.0]}}
    with pytest.raises(UsageError, match="as `smote` has one, got none for hist_gradient_boosting"):
        require_models(study(["none", smote], [FOREST, "hist_gradient_boosting"]))
    require_models(study(["none", smote], [FOREST, LOGISTIC]))
    own = {"method": "easy_ensemble", "grid": {"n_estimators": [2, 3]}}
    require_models(study(["none", own], [FOREST, "hist_gradient_boosting"]))
    bare = study([*on_forest("none"), {**own, "model": "easy_ensemble"}], ["random_forest"])
    with pytest.raises(UsageError, match="`easy_ensemble` alone it would be tuned"):
        settings_of(bare)
