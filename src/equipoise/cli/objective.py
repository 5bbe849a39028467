"""The objective of ``equipoise tune`` from its options, and the table of the rule it makes."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, cast

from equipoise._core.words import say
from equipoise.cli.console import table
from equipoise.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from equipoise.artifacts import DecisionRule
    from equipoise.artifacts.labels import Kind
    from equipoise.decisions import Objective

Named = list[float] | dict[str, float]


def read_objective(
    name: str | None, kind: Kind, options: Mapping[str, Any]
) -> str | Objective | None:
    """Return the record that a name and the options for its parameters make.

    Args:
        name: Of ``--objective``, or None for the default of the kind.
        kind: Of the scores.
        options: Parameter -> what was given for it, None for nothing.

    Raises:
        UsageError: a parameter that is missing, out of range or of another objective.
    """
    from equipoise._core.checks import to_fraction
    from equipoise.decisions.objectives import DEFAULTS, find_objective

    called = name or DEFAULTS[kind]
    record = find_objective(called)
    if record is None or kind not in record.kinds:
        return name  # tune says what it may be
    takes = {f.name: f.default is MISSING for f in fields(record)}
    for option in (o for o, is_needed in takes.items() if is_needed and options[o] is None):
        raise UsageError(say(option, f"be given for the objective '{called}'", None))
    # A confidence has a default, so that it says nothing about the objective.
    to_fraction("confidence_level", options["confidence_level"])
    given = {option: value for option, value in options.items() if value is not None}
    for option, value in given.items():
        if option not in takes and option != "confidence_level":
            do = "Leave it out, or choose the objective that takes it."
            expected = f"be left out for the objective '{called}'"
            raise UsageError(say(option, expected, value, do))
    given = {option: value for option, value in given.items() if option in takes}
    return cast("Objective", cast(Any, record)(**given)) if given else called


def parse_shares(name: str, text: str | None) -> Named | None:
    """Return the numbers of "0.1,0.9", or of "cat=0.1,dog=0.9" by name."""
    if text is None:
        return None
    parts = [part.partition("=") for part in text.split(",")]
    named = [bool(mark) for _, mark, _ in parts]
    expected = "be numbers as 0.1,0.9, or all named as cat=0.1,dog=0.9"
    try:
        if not any(named):
            return [float(part) for part, _, _ in parts]
        shares = {key.strip(): float(number) for key, _, number in parts if all(named)}
    except ValueError:
        raise UsageError(say(name, expected, repr(text))) from None
    if len(shares) < len(parts):
        raise UsageError(say(name, expected, repr(text)))
    return shares


def in_names_order(name: str, shares: Any, names: Sequence[str]) -> Any:
    """Return shares that were given by name in the order of the scores; others as they are."""
    if not isinstance(shares, dict):
        return shares
    if set(shares) != set(names):
        odd = sorted(set(shares) ^ set(names))
        raise UsageError(say(name, f"name each of {', '.join(names)} once", f"{odd} on one side"))
    return [shares[n] for n in names]


def parse_target(text: str) -> str | Named:
    """Return "validation", "uniform", "em" or the listed shares."""
    from equipoise.io.scores import parse_prior

    if "=" in text:
        return parse_shares("--target-prior", text) or []
    return text if text == "em" else parse_prior(text)


def parse_costs(text: str | None) -> list[float] | list[list[float]] | None:
    """Return (false alarm, miss), or the rows of "0,1;5,0"."""
    rows = [] if text is None else [parse_shares("--costs", row) or [] for row in text.split(";")]
    plain = [row for row in rows if isinstance(row, list)]
    if len(plain) < len(rows) or len({len(row) for row in plain}) > 1:
        raise UsageError(say("--costs", "have rows of one length, in numbers", repr(text)))
    if text is None or ";" not in text:
        return plain[0] if plain else None
    return plain


def rule_table(rule: DecisionRule) -> str:
    """Return one line per label: evidence, calibration, threshold, claimed and cross-fitted."""
    from scipy.special import expit

    from equipoise.artifacts.rule import GRADES

    cuts = [""] * len(rule.names)
    if rule.thresholds is not None:
        cuts = [f"{p:.4f}" for p in expit(rule.thresholds)]
    notes, shared = _apart(rule.notes)
    columns = (rule.names, rule.grades, rule.calibrator.method, cuts, rule.claimed,
               rule.cross_fitted, notes)  # fmt: skip
    rows = [
        [n, g, m, c, f"{a:.3f}", f"{b:.3f}", note]
        for n, g, m, c, a, b, note in zip(*columns, strict=True)
    ]
    measure = f"{rule.measure} claimed"
    head = ["label", "grade", "calibration", "threshold", measure, "cross-fitted", ""]
    grades = "; ".join(f"{g} {GRADES[g]}" for g in sorted(set(rule.grades)))
    bound = [
        f"score columns: {', '.join(f'{c} for {n}' for c, n in pairs)}"
        for pairs in [list(zip(rule.score_names, rule.names, strict=False))]
        if rule.score_names and rule.score_names != rule.names
    ]
    return "\n".join([table(head, rows), *shared, f"grade: {grades}", *bound])


def _apart(notes: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the notes of each label, and apart from them what all labels have in common."""
    split = [note.split("; ") if note else [] for note in notes]
    if len(split) < 2:
        return list(notes), []
    shared = [part for part in split[0] if all(part in other for other in split[1:])]
    return ["; ".join(p for p in parts if p not in shared) for parts in split], shared
