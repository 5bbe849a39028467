"""The study and its run; knows the whole line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise._core.faces import lazy_face

if TYPE_CHECKING:
    from equipoise.studies.estimator import (
        DecisionRuleClassifier as DecisionRuleClassifier,
    )
    from equipoise.studies.refitting import (
        refit as refit,
    )
    from equipoise.studies.run import (
        run_study as run_study,
    )
    from equipoise.studies.schema import (
        Study as Study,
        load_study as load_study,
    )

_HOME = {
    "estimator": "DecisionRuleClassifier",
    "refitting": "refit",
    "run": "run_study",
    "schema": "Study load_study",
}
__all__, __getattr__, __dir__ = lazy_face(__name__, _HOME)
