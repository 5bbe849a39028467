"""The card of a trained model: a README with the metadata that Hugging Face's hub reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from equipoise._core.messages import listed
from equipoise.artifacts import (
    Correction,
    DecisionRule,
    Estimate,
    Evaluation,
    Finding,
    Scores,
    Trial,
)
from equipoise.artifacts.estimate import FEW
from equipoise.metrics import average_precision

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


MOST = 200
DASH = "\N{EN DASH}"
_TEST_METRICS = ("ap", "auroc", "precision", "recall", "f1")


def model_card(
    trial: Trial,
    rule: DecisionRule | None = None,
    evaluation: Evaluation | None = None,
    *,
    findings: Sequence[Finding] = (),
    no_rule: str = "",
    no_evaluation: str = "",
    pictures: Sequence[str] = (),
) -> str:
    """Return a model card in Markdown, with YAML metadata before it.

    Args:
        trial: With validation scores.
        rule: Tuned on them, or None.
        evaluation: Of the rule on test rows, or None.
        findings: What was found while it trained.
        no_rule: Why there is no rule.
        no_evaluation: Why there is no evaluation.
        pictures: File names of pictures beside the card.

    Returns:
        Markdown: what it is, training counts and priors, remedy and correction, decision rule,
        test metrics with intervals, findings, limits, how to predict. Of more than 200 labels the
        200 with the fewest training positives are listed.

    Example:
        >>> from equipoise.artifacts import Labels
        >>> labels = Labels.from_array([0, 1, 1], kind="multilabel", names=["A"])
        >>> val = Scores.from_arrays(labels, logits=[-1.0, 2.0, 0.5], split="val")
        >>> card = model_card(Trial("none", 0, {}, 9, 3, {"A": 4}, {"A": 4}, [], {"val": val}))
        >>> card.splitlines()[1], "| A | 4 | 0.4444 | 2 of 3 | 1.000 |" in card
        ('library_name: equipoise', True)
    """
    val = trial.scores["val"]
    picked, of = _picked(trial, val)
    parts = [
        _front_matter(trial, val, rule),
        f"# {trial.method}, seed {trial.seed}\n",
        _what(trial, val),
        "## Data and remedy\n",
        _remedy(trial, val),
        "## Decision rule\n",
        _rule(trial, val, rule, no_rule, picked),
        of,
        "## Test rows\n",
        _test(evaluation, no_evaluation, picked),
        *(f"![{name}]({name})\n" for name in pictures),
        "## Findings\n",
        _list([str(item) for item in findings]) or "None while it trained.\n",
        "## Limits\n",
        _list(limits(trial, val, rule, evaluation)),
        "## How to predict\n",
        _by_verb(trial, rule),
        usage(val, rule, trial.model_file),
    ]
    return "\n".join(part for part in parts if part)


# Whose networks are made by name; "module:callable" runs code of the user's.
_LIBRARIES = ("monai", "timm", "torchvision")


def _by_verb(trial: Trial, rule: DecisionRule | None) -> str:
    """Return the command line that predicts, where the trial says how its network is built."""
    build = trial.config.get("build")
    if build is None or rule is None:
        return ""
    network = str(build["model"]["name"])
    library, colon, _ = network.partition(":")
    foreign = colon and library not in _LIBRARIES
    code = " --allow-code" if foreign else ""
    return (
        "New data of the form it was trained on "
        f"({build['data']['source']}, network {network}):\n\n"
        f"```sh\nequipoise predict THIS_FOLDER NEW_DATA -o predictions.parquet{code}\n```\n\n"
        "Or in Python:\n"
    )


def _front_matter(trial: Trial, val: Scores, rule: DecisionRule | None) -> str:
    several = val.kind == "multilabel"
    metrics = ["average_precision" if several else "balanced_accuracy"]
    if rule is not None and rule.measure and rule.measure not in metrics:
        metrics.append(rule.measure)
    fields = {
        "library_name": "equipoise",
        "tags": [
            "imbalanced-data",
            "multi-label-classification" if several else "multi-class-classification",
            "calibration",
            trial.method,
        ],
        "metrics": metrics,
    }
    return f"---\n{yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)}---\n"


def _what(trial: Trial, val: Scores) -> str:
    noun = "labels, any number per row" if val.kind == "multilabel" else "classes, one per row"
    chosen = trial.selection
    noun = noun.replace("labels", "label", 1) if len(val.names) == 1 else noun
    words = [f"A classifier of {len(val.names)} {noun}, trained with the remedy '{trial.method}'."]
    if "metric" in chosen and "value" in chosen:
        words.append(
            f"Epoch {chosen.get('epoch', '?')} of {_epochs(trial)} is kept, counted from 0: "
            f"{chosen['metric']} {_number(chosen['value'])} on {trial.n_val:,} validation rows "
            f"(last epoch: {_number(chosen.get('last_value', math.nan))})."
        )
    if "second_stage" in chosen:
        words.append(f"A second stage followed: {chosen['second_stage']}.")
    return " ".join(words) + "\n"


def _epochs(trial: Trial) -> int:
    return len([row for row in trial.history if "stage" not in row])


def _remedy(trial: Trial, val: Scores) -> str:
    settings = trial.config.get("settings") or {}
    shown = ", ".join(f"{k}={v}" for k, v in settings.items()) if settings else "none"
    counts = [int(n) for n in trial.train_counts.values()]
    lines = [
        f"{trial.n_train:,} training rows; from {min(counts):,} to {max(counts):,} per "
        + ("label." if val.kind == "multilabel" else "class.")
        if counts
        else f"{trial.n_train:,} training rows.",
        f"Remedy: `{trial.method}`; settings: {shown}.",
        correction_words(val.correction),
    ]
    return _list(lines)


def _picked(trial: Trial, val: Scores) -> tuple[list[int], str]:
    """Return the columns to list, and a line that says so where some are left out."""
    if len(val.names) <= MOST:
        return list(range(len(val.names))), ""
    counts = [trial.train_counts.get(name, 0) for name in val.names]
    kept = np.sort(np.argsort(counts, kind="stable")[:MOST])
    return kept.tolist(), f"The {MOST} of {len(val.names)} with the fewest training positives.\n"


def _rule(
    trial: Trial, val: Scores, rule: DecisionRule | None, why: str, picked: Sequence[int]
) -> str:
    measure = rule.measure if rule is not None else ""
    head = ["", "training", "share of rows", "validation", "AP on validation"]
    if rule is not None:
        cut = "threshold" if rule.thresholds is not None else "offset"
        head += [cut, "grade", f"{measure} claimed", f"{measure} cross-fitted"]
    precisions = _val_precision(val, rule)
    rows = []
    for i in picked:
        name = val.names[i]
        count = trial.train_counts.get(name, 0)
        share = count / trial.n_train if trial.n_train else math.nan
        row = [_cell(name), f"{count:,}", _number(share, 4), _positives(val, i)]
        row.append(_number(precisions[i]))
        if rule is not None:
            row += [_cut(rule, i), _at(rule.grades, i), _value(rule.claimed, i)]
            row.append(_value(rule.cross_fitted, i))
        rows.append(row)
    if rule is None:
        words = f"There is none: {why or 'it was not tuned'}.\n"
    else:
        words = (
            f"`rule.json`: objective `{rule.objective}`, target prior `{rule.target_prior}`, "
            f"calibration `{', '.join(sorted(set(rule.calibrator.method)))}`, tuned on "
            f"{len(val):,} validation rows. Claimed values are on the rows it was tuned on.\n"
        )
    return f"{words}\n{_table(head, rows)}"


def _val_precision(val: Scores, rule: DecisionRule | None) -> NDArray[np.float64]:
    """Return average precision per column; classes rank one against the rest where they can."""
    labels = val.labels
    if labels is None:
        return np.full(len(val.names), np.nan)
    values, truth = val.values, labels.one_hot()
    if val.kind == "multiclass" and rule is not None:
        values = rule.log_odds(val)
    usable = np.flatnonzero((truth == 1).any(0) & (truth == 0).any(0))
    found = np.full(len(val.names), np.nan)
    if usable.size:
        found[usable] = average_precision(truth[:, usable], values[:, usable])
    return found


def _positives(val: Scores, i: int) -> str:
    if val.labels is None:
        return DASH
    return f"{int(val.labels.counts[i]):,} of {int(val.labels.known[i]):,}"


def _cut(rule: DecisionRule, i: int) -> str:
    if rule.thresholds is not None:
        z = float(rule.thresholds[i])
        return "never" if z == math.inf else _number(1 / (1 + math.exp(-max(z, -700.0))), 4)
    return DASH if rule.class_offset is None else _number(float(rule.class_offset[i]))


def _test(evaluation: Evaluation | None, why: str, picked: Sequence[int]) -> str:
    if evaluation is None:
        return f"Not evaluated: {why or 'there are no labelled test rows'}.\n"
    rows = []
    for name in (evaluation.names[i] for i in picked):
        found, counts = evaluation.per_label[name], evaluation.counts.get(name, {})
        positives = counts.get("tp", 0) + counts.get("fn", 0)
        rows.append([_cell(name), f"{positives:,}", *(_estimate(found[m]) for m in _TEST_METRICS)])
    macro = evaluation.overall["macro"]
    rows.append(["**macro**", "", *(_estimate(macro.get(m)) for m in _TEST_METRICS)])
    level = next(iter(evaluation.per_label.values()))["ap"].confidence_level
    words = (
        f"{evaluation.n_rows:,} rows, {level:.0%} intervals; overlap with the rows the rule was "
        f"tuned on: {evaluation.overlap}. Macro: over "
        f"{evaluation.n_evaluable.get('ap', 0)} evaluable labels of {len(evaluation.names)}.\n"
    )
    head = ["", "positives", "AP", "AUROC", "precision", "recall", "F1"]
    return f"{words}\n{_table(head, rows)}"


def _estimate(value: Estimate | None) -> str:
    return DASH if value is None or value.is_missing else str(value)


def _value(values: NDArray[Any], i: int) -> str:
    return _number(float(values[i])) if i < len(values) else DASH


def _at(values: Sequence[str], i: int) -> str:
    return values[i] if i < len(values) else DASH


def _number(value: float | None, digits: int = 3) -> str:
    return DASH if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _cell(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").split())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _list(lines: Sequence[str]) -> str:
    return "".join(f"- {' '.join(line.split())}\n" for line in lines)
