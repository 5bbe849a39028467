"""Scores as they come: what contradicts its kind, and what is constant."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from equipoise.diagnosis import diagnose_scores


@pytest.mark.parametrize(
    ("values", "score_kind", "kind", "text"),
    [
        ([[2.0], [-3.0]], "probabilities", "multilabel", "run from -3 to 2"),
        ([[0.5, 0.2], [0.5, 0.5]], "probabilities", "multiclass", "sums to 1 only within 0.3"),
        (np.tile([[0.3, 0.7], [0.6, 0.4]], (10, 1)), "probabilities", "multilabel", "every row"),
        (np.linspace(0, 1, 20), "logits", "multilabel", r"all lie in \[0, 1\]"),
    ],
)
def test_scores_that_contradict_their_kind(
    values: Any, score_kind: str, kind: Any, text: str
) -> None:
    found = {f.code: f for f in diagnose_scores(values, score_kind=score_kind, kind=kind)}
    assert re.search(text, found["EQ404"].message)


def test_constant_scores_are_not_called_tied_as_well() -> None:
    codes = [f.code for f in diagnose_scores(np.zeros(50), score_kind="ranking", kind="multilabel")]
    assert codes == ["EQ403"]
