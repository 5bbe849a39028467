"""The steps of a rule, run one by one in NumPy, say what the rule says."""

from __future__ import annotations

import pytest
from rule_samples import RULES, check, program_of, rows_for, run


@pytest.mark.parametrize("name", RULES)
def test_the_steps_say_what_the_rule_says(name: str) -> None:
    rule, program = RULES[name], program_of(name)
    rows = rows_for(rule, 2000)
    check(rule, rows, *run(program, rows), atol=1e-12)
