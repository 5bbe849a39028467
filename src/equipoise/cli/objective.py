"""The objective of ``equipoise tune``: its options, and how their text is read."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from equipoise._core.language import said
from equipoise._core.messages import say
from equipoise.cli.console import note, numbers
from equipoise.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from equipoise.artifacts.labels import Kind
    from equipoise.decisions import Objective

Named = list[float] | dict[str, float]


@dataclass(frozen=True, slots=True)
class ObjectiveOptions:
    """What decisions are for; the parameters are called as those of the records."""

    objective: Annotated[
        str | None,
        typer.Option(
            help="f1, f2, cost, balanced_accuracy, mcc, precision, recall, net_benefit, "
            "prevalence, budget, top_k, rescale; for classes balanced_accuracy, accuracy, "
            "macro_f1, cost, rescale."
        ),
    ] = None
    at_least: Annotated[
        float | None, typer.Option(help="For precision and recall: what must be reached.")
    ] = None
    confidence_level: Annotated[
        float, typer.Option("--confidence", help="At which a precision is certified.")
    ] = 0.95
    costs: Annotated[
        str | None,
        typer.Option(
            help="For cost: FALSE_ALARM,MISS, or a matrix 0,1;5,0 (row truth, column choice)."
        ),
    ] = None
    threshold_probability: Annotated[
        float | None,
        typer.Option(help="For net_benefit: the probability at which acting breaks even."),
    ] = None
    flags_per_row: Annotated[
        float | None,
        typer.Option("--budget", help="For budget: flags per row, over all labels."),
    ] = None
    k: Annotated[int | None, typer.Option("--k", help="For top_k: labels per row.")] = None
    train_prior: Annotated[
        str | None,
        typer.Option(
            help="For rescale: training shares, 0.1,0.9 or A=.1,B=.9; else the rows' own."
        ),
    ] = None
    free_offsets: Annotated[
        bool | None,
        typer.Option(
            "--free-offsets/--no-free-offsets",
            help="For classes: one offset each, or one strength for all; else what wins "
            "cross-fitted.",
        ),
    ] = None

    def read(self, kind: Kind, names: Sequence[str]) -> str | Objective | None:
        """Return the name, or the record that it makes with its parameters.

        Args:
            kind: Of the scores.
            names: Of their labels or classes.

        Raises:
            UsageError: a parameter that is missing, out of range or of another objective.
        """
        from equipoise._core.checks import to_fraction
        from equipoise.decisions.objectives import DEFAULTS, find_objective

        shares = parse_shares("--train-prior", self.train_prior)
        costs = parse_costs(self.costs)
        if kind == "multiclass" and costs is not None and len(costs) == len(names):
            _tell_order("--costs", names)
        read = {
            "costs": costs,
            "train_prior": in_names_order("--train-prior", shares, names),
        }
        called = self.objective or DEFAULTS[kind]
        record = find_objective(called)
        if record is None or kind not in record.kinds:
            return called  # tune says what it may be
        # A confidence has a default, so that it says nothing about the objective.
        to_fraction("confidence_level", self.confidence_level)
        given = {f.name: read.get(f.name, getattr(self, f.name)) for f in fields(self)}
        takes = {f.name: f.default is MISSING for f in fields(record)}
        for name, value in given.items():
            if takes.get(name) and value is None:
                raise UsageError(say(name, f"be given for the objective '{called}'", value))
            aside = name in ("objective", "confidence_level", *takes)
            if not aside and value is not None:
                do = "Leave it out, or choose the objective that takes it."
                expected = f"be left out for the objective '{called}'"
                raise UsageError(say(name, expected, value, do))
        own = {name: given[name] for name in takes if given.get(name) is not None}
        return cast("Objective", cast(Any, record)(**own)) if own else called


def parse_shares(name: str, text: str | None) -> Named | None:
    """Return the numbers of "0.1,0.9", or of "cat=0.1,dog=0.9" by name."""
    if text is None:
        return None
    parts = [part.partition("=") for part in text.split(",")]
    named = [bool(mark) for _, mark, _ in parts]
    expected = "be numbers as 0.1,0.9, or all named as cat=0.1,dog=0.9"
    if not any(named):
        return numbers(name, text, expected=expected)
    try:
        shares = {key.strip(): float(number) for key, _, number in parts if all(named)}
    except ValueError:
        raise UsageError(say(name, expected, repr(text))) from None
    if len(shares) < len(parts):
        raise UsageError(say(name, expected, repr(text)))
    return shares


def in_names_order(name: str, shares: Any, names: Sequence[str]) -> Any:
    """Return shares that were given by name in the order of the scores; others as they are."""
    if not isinstance(shares, dict):
        if isinstance(shares, list) and len(shares) == len(names):
            _tell_order(name, names)
        return shares
    if set(shares) != set(names):
        raise UsageError(say(name, f"name each of {', '.join(names)} once", ", ".join(shares)))
    return [shares[n] for n in names]


def _tell_order(name: str, names: Sequence[str]) -> None:
    """Say what numbers without names are of: the order of score columns is easily another."""
    note(said(f"{name} is read in the order {', '.join(names)}."))


def parse_target(text: str) -> str | Named:
    """Return "validation", "uniform", "em" or the listed shares."""
    if text in ("validation", "uniform", "em"):
        return text
    return parse_shares("--target-prior", text) or []


def parse_costs(text: str | None) -> list[float] | list[list[float]] | None:
    """Return (false alarm, miss), or the rows of "0,1;5,0"."""
    if text is None:
        return None
    expected = "be FALSE_ALARM,MISS, or rows of a matrix as 0,1;5,0"
    rows = [numbers("--costs", row, expected=expected) or [] for row in text.split(";")]
    if len({len(row) for row in rows}) > 1:
        raise UsageError(say("--costs", "have rows of one length, in numbers", repr(text)))
    return rows if ";" in text else rows[0]
