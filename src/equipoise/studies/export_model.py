"""A model folder or a finished trial as a file that needs no equipoise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from equipoise._core.extras import names_extras
from equipoise._core.files import atomic_path
from equipoise._core.messages import hint, say
from equipoise.artifacts import Correction, DecisionRule
from equipoise.boosting.model import TableModel
from equipoise.boosting.trees_graph import trees_to_onnx
from equipoise.errors import DataError, UsageError
from equipoise.export import append_rule, export_rule, format_of, make_program
from equipoise.studies.predict_table import is_table_model


@names_extras()
def export_model(
    folder: str | Path,
    out: str | Path,
    *,
    rule: str | Path | None = None,
    form: str | None = None,
    allow_code: bool = False,
    **options: Any,
) -> Path:
    """Write what a folder's model decides: to ONNX model and rule, to other formats the rule.

    Args:
        folder: From ``equipoise train`` or :func:`equipoise.studies.refit`.
        out: File to write.
        rule: Another rule than the folder's rule.json.
        form: As in :func:`equipoise.export.export_rule`.
        allow_code: Whether a network given as "module:callable" may run.
        options: Others of :func:`equipoise.export.export_rule`. To ONNX, ``by_row`` alone.

    Returns:
        The path.

    Raises:
        DataError: no such folder, or no rule in it.
        NotRecoverableError: the rule's correction leads to no probability.
        UsageError: a model that ONNX cannot hold with what prepares its columns: of tables it holds
            LightGBM on numbers.

    Note:
        The rule of a folder of ``refit`` is for log-odds; what leads there from the outputs of the
        model is put before it, so that scores are what the booster's own predictor gives.
    """
    place, chosen = Path(folder), format_of(out, form)
    if is_table_model(place):
        model = TableModel.load(place)
        found = model.rule if rule is None else DecisionRule.load(rule)
        whole = _from_outputs(found, model.correction)
        kind = "ranking" if model.correction.exactness == "none" else "logits"
        if chosen == "onnx":
            program = make_program(whole, score_kind=kind, by_row=_by_row_alone(options))
            return _written(append_rule(trees_to_onnx(model), program, model.names), out)
        options["score_kind"] = options.get("score_kind") or kind
        return export_rule(whole, out, form=form, **options)
    file = place / "rule.json" if rule is None else Path(rule)
    if not file.is_file():
        advice = hint("Tune one with `equipoise tune`, and pass {rule=rule.json}.")
        raise DataError(say(str(file), "be a rule", "nothing there", advice))
    found = DecisionRule.load(file)
    if chosen != "onnx":
        return export_rule(found, out, form=form, **options)
    from equipoise.studies.predict import export_trial

    return export_trial(
        place, out, rule=found, by_row=_by_row_alone(options), allow_code=allow_code
    )


def _by_row_alone(options: dict[str, Any]) -> bool:
    """Return the one option that a rule behind its model takes; refuse the others."""
    for name, value in options.items():
        if value is not None and name != "by_row":
            do = "The model says what its outputs are."
            raise UsageError(say(name, "be left out for a model", repr(value), do))
    return bool(options.get("by_row", False))


def _written(made: bytes, out: str | Path) -> Path:
    with atomic_path(out) as temporary:
        temporary.write_bytes(made)
    return Path(out)


def _from_outputs(rule: DecisionRule, correction: Correction) -> DecisionRule:
    """Return a rule for a model's own outputs, from one for its log-odds."""
    if rule.correction is None or not correction.ops:
        return rule
    if rule.evidence is not None or rule.correction.ops:
        do = "Export its rule.json, and give it the log-odds of `TableModel.scores`."
        got = "a rule that limits or corrects log-odds itself"
        raise UsageError(say("rule", "take the model's log-odds as they are", got, do))
    return replace(rule, correction=correction)
