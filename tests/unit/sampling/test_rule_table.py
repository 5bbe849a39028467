"""The documented table of rules, against the numbers measured for this project before."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri

from equipoise.artifacts import Labels
from equipoise.sampling.raking import rake
from equipoise.sampling.rule_table import (
    PREVALENCE,
    ROWS,
    TAIL_COUNTS,
    RuleRow,
    four_labels,
    long_tail_labels,
    rule_rows,
    rule_tables,
)

# The reference was measured on 224,000 random rows and rounded to 3 digits. A weighted rate there
# has a standard error of up to sqrt(0.25 / (0.14 * 224,000)) = 0.003 at the least effective sample
# of 14 %; most have 0.001. Three of those and the rounding:
TOLERANCE = 0.004
REFERENCE = {
    "max": ((0.261, 0.344, 0.283, 0.468), 1.8, 0.66, 0.16),
    "mean": ((0.218, 0.317, 0.257, 0.416), 1.9, 0.73, 0.18),
    "sum": ((0.313, 0.467, 0.376, 0.600), 1.9, 0.45, 0.0),
    "repeat_factor_0.5": ((0.157, 0.326, 0.230, 0.472), 3.0, 0.91, 0.22),
    "inverse_labelset": ((0.5, 0.5, 0.5, 0.5), 1.0, 0.14, 0.06),
    "raking_sqrt": ((0.199, 0.369, 0.282, 0.469), 2.35, 0.76, 0.19),
}


def rows_of(labels: Labels) -> dict[str, RuleRow]:
    return {row.rule: row for row in rule_rows(labels)}


@pytest.fixture(scope="module")
def independent() -> dict[str, RuleRow]:
    return rows_of(four_labels())


def test_the_four_labels_are_what_was_asked_for() -> None:
    for correlation in (0.0, 0.6):
        labels = four_labels(correlation)
        assert len(labels) == ROWS
        # Sixteen labelsets rounded to whole rows.
        np.testing.assert_allclose(labels.prevalence, PREVALENCE, atol=8 / ROWS)
    draw = np.random.default_rng(0).multivariate_normal(
        np.zeros(4), np.full((4, 4), 0.6) + 0.4 * np.eye(4), 200_000
    )
    hot = (draw < ndtri(PREVALENCE)).astype(float)
    random, exact = hot.T @ hot / 200_000, labels.values.T.astype(float) @ labels.values / ROWS
    np.testing.assert_allclose(exact, random, atol=0.0045)  # 4 x sqrt(0.25 / 200,000)


@pytest.mark.parametrize("rule", REFERENCE)
def test_independent_labels_as_measured(rule: str, independent: dict[str, RuleRow]) -> None:
    rates, ratio, ess, empty = REFERENCE[rule]
    found = independent[rule]
    np.testing.assert_allclose(found.rates, rates, atol=TOLERANCE)
    assert found.rate_ratio == pytest.approx(ratio, abs=0.06)
    assert found.ess_share == pytest.approx(ess, abs=0.006)
    assert found.empty_share == pytest.approx(empty, abs=0.006)


def test_correlated_labels_raise_the_most_frequent() -> None:
    found = rows_of(four_labels(0.6))
    assert found["max"].rates[3] == pytest.approx(0.615, abs=TOLERANCE)
    assert found["sum"].rates[3] == pytest.approx(0.873, abs=TOLERANCE)
    assert found["inverse_labelset"].ess_share == pytest.approx(0.09, abs=0.006)
    assert 57 < found["inverse_labelset"].max_weight < 72


def test_raking_is_cheaper_than_repeating_rows_with_one_label(
    independent: dict[str, RuleRow],
) -> None:
    for labels in (four_labels(), four_labels(0.6)):
        repeated = rule_rows(labels, ["single_label_rows"])[0]
        raked = rake(labels, repeated.rates)
        assert repeated.rate_ratio == pytest.approx(1.0)
        assert raked.reached
        assert raked.ess_share > 1.2 * repeated.ess_share


def test_a_long_tail_cannot_be_sampled_away() -> None:
    labels = long_tail_labels()
    assert len(labels) == 5500
    assert {k: int(n) for k, n in enumerate(labels.counts) if n} == TAIL_COUNTS
    assert labels.counts.sum() == 6790
    found = rows_of(labels)
    for rule in ("max", "mean", "sum", "inverse_labelset"):
        assert 0.015 < found[rule].ess_share < 0.06
        assert found[rule].rate_ratio > 5
    assert found["repeat_factor_0.1"].ess_share == pytest.approx(0.65, abs=0.03)
    equal = rake(labels, "equal")
    assert not equal.feasible
    assert 0.1 <= equal.ess_share < 0.11


def test_tables_are_markdown_with_a_row_per_rule() -> None:
    text = rule_tables()
    assert text.count("\n### ") == 3
    assert text.count("\n| `max` |") == 4
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| `")}
    assert widths == {3, 6, 7}
