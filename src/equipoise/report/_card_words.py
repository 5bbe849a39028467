"""What a model card says in words: the correction, the limits, how to predict."""

from __future__ import annotations

from equipoise._core.words import listed
from equipoise.artifacts import Correction, DecisionRule, Evaluation, Scores, Trial

FEW = 10
_EXACT = {
    "exact": "its effect on the probabilities is undone exactly",
    "approximate": "its effect on the probabilities is undone approximately",
    "none": "its outputs rank only; probabilities come from the fitted calibrator alone",
}


def correction_words(correction: Correction | None) -> str:
    """Return what the remedy did to the probabilities and how exactly it is undone."""
    if correction is None:
        return "Correction: none stated; outputs are taken as they are."
    if correction.is_identity:
        return "Correction: none needed; outputs are those of an untreated model."
    low, high = correction.valid_range
    words = f"Correction: {correction.exactness}; {_EXACT[correction.exactness]}"
    if (low, high) != (0.0, 1.0):
        words += f", for true probabilities from {low:.4g} to {high:.4g}"
    return words + "."


def limits(
    trial: Trial, val: Scores, rule: DecisionRule | None, evaluation: Evaluation | None
) -> list[str]:
    """Return what the numbers of the card cannot bear, one line each."""
    lines = [
        "Epoch and thresholds were chosen on the validation rows: numbers on them are optimistic."
    ]
    if val.labels is not None:
        counts = dict(zip(val.names, val.labels.counts.tolist(), strict=True))
        few = [f"{name} ({n})" for name, n in counts.items() if 0 < n < FEW]
        none = [name for name, n in counts.items() if n == 0]
        if few:
            lines.append(f"Fewer than {FEW} validation positives: {listed(few, 20)}.")
        if none:
            lines.append(f"No validation positives, so nothing tuned: {listed(none, 20)}.")
    unseen = [name for name, n in trial.train_counts.items() if n == 0]
    if unseen:
        lines.append(f"Without training positives: {listed(unseen, 20)}.")
    if evaluation is None:
        lines.append("No test rows were judged: nothing here says how it does on new rows.")
    else:
        left_out = [f"{name} ({why})" for name, why in evaluation.not_evaluable.items()]
        if left_out:
            lines.append(f"Not evaluable on test rows, and not in macro: {listed(left_out, 20)}.")
        if "ids fine" not in evaluation.overlap and "contents fine" not in evaluation.overlap:
            lines.append(
                "Whether test rows are among the validation rows is not known: "
                f"{evaluation.overlap}."
            )
    if rule is not None:
        prior = "that of the validation rows" if rule.target_prior == "validation" else "another"
        lines.append(
            f"Thresholds and probabilities hold for one prior, {prior}; where labels are rarer or "
            "more frequent, tune again with `target_prior=`."
        )
    lines.append("One seed: another draw of rows and weights gives other numbers.")
    return lines


def usage(val: Scores, rule: DecisionRule | None, model_file: str | None) -> str:
    """Return code that predicts with the files beside the card."""
    lines = [
        "`model` is the network that was trained, and `x` a batch of its inputs.\n",
        "```python",
        "import torch",
        "from safetensors.torch import load_file",
        "",
        "import equipoise as eq",
        "",
        f'model.load_state_dict(load_file("{model_file or "model.safetensors"}"))',
        "model.eval()",
        "with torch.no_grad():",
        "    outputs = model(x).double().cpu().numpy()",
    ]
    if rule is not None:
        lines += [
            'rule = eq.DecisionRule.load("rule.json")',
            "scores = eq.Scores.from_arrays(",
            f'    None, {val.score_kind}=outputs, split="new", kind="{val.kind}",',
            "    names=rule.names, check_kind=False,",
            ")",
            "decisions = rule.apply(scores)",
            "decisions.probabilities, decisions.predictions",
        ]
    words = "\n".join([*lines, "```"]) + "\n"
    if val.score_kind == "probabilities":
        words += "\n`outputs` must be the probabilities that the remedy's loss recovers.\n"
    if rule is not None:
        words += "\nThe rule needs NumPy alone, no torch.\n"
    return words
