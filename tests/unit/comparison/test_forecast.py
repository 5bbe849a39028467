"""The forecast of a doubling: exact on the curves it assumes, honest about which curve it is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from equipoise.comparison.forecast import POWERS, SIZES, forecast, next_doubling
from equipoise.metrics import Influence


def at(values: list[float], rows: np.ndarray | None = None) -> list[Influence]:
    return [Influence(v, np.zeros(6) if rows is None else rows) for v in values]


@pytest.mark.parametrize("power", POWERS)
def test_a_curve_of_the_power_is_continued_exactly(power: float) -> None:
    values = 0.8 - 0.1 * SIZES**-power
    after = 0.8 - 0.1 * 2.0**-power
    assert next_doubling(power) @ values == pytest.approx(after - values[-1])
    assert next_doubling(power).sum() == pytest.approx(0)


def test_the_interval_holds_every_curve() -> None:
    curve = 0.8 - 0.1 * SIZES**-0.5
    noise = np.array([-0.002, 0.0, 0.002])
    parts = [at((v + noise).tolist()) for v in curve]
    found = forecast(*parts)
    assert found.value == pytest.approx(0.1 * (1 - 2**-0.5))
    each = [next_doubling(p) @ curve for p in POWERS]
    assert found.low <= min(each) <= max(each) <= found.high
    assert found.confidence_level == 0.8


def test_rows_and_seeds_make_it_wider() -> None:
    parts = [at([0.4, 0.4]), at([0.5, 0.5]), at([0.57, 0.57])]
    rows = np.array([0.01, -0.01, 0.02, -0.02, 0.0, 0.0])
    shaky = [*parts[:2], at([0.57, 0.57], rows)]
    spread = [*parts[:2], at([0.55, 0.59])]
    still = forecast(*parts)
    for other in (forecast(*shaky), forecast(*spread)):
        assert other.high - other.low > still.high - still.low
    assert math.isnan(forecast(*(part[:1] for part in parts)).low)
