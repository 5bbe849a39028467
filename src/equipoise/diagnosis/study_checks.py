"""Checks on arms side by side, and on the rows that decisions are for."""

from __future__ import annotations

import numpy as np

from equipoise._core.words import listed
from equipoise.artifacts.finding import Finding
from equipoise.artifacts.labels import UNKNOWN
from equipoise.decisions.deployment import estimate_prior
from equipoise.diagnosis._registry import check, finding
from equipoise.diagnosis.material import Material

_SEEDS = 5


@check("EQ408")
def few_seeds(material: Material) -> list[Finding] | None:
    """Find comparisons of fewer than five trainings per arm."""
    if material.comparison is not None:
        seeds = {a.method: a.n_seeds for a in material.comparison.arms}
    elif material.trials:
        counted: dict[str, set[int]] = {}
        for trial in material.trials:
            counted.setdefault(trial.method, set()).add(trial.seed)
        seeds = {method: len(found) for method, found in counted.items()}
    else:
        return None
    few = {m: n for m, n in seeds.items() if n < _SEEDS}
    if not few or len(seeds) < 2:
        return []
    return [
        finding(
            "EQ408",
            f"{len(few)} of {len(seeds)} arms rest on fewer than {_SEEDS} trainings "
            f"({listed([f'{m} {n}' for m, n in few.items()])}). What another seed would change is "
            "not known well, and one training gives no interval at all.",
            {"seeds": few},
            "Five seeds to look, ten to claim; they redraw train and validation rows too.",
        )
    ]


@check("EQ410")
def no_better(material: Material) -> list[Finding] | None:
    """Find remedies that buy nothing beyond tuned thresholds."""
    result = material.comparison
    if result is None:
        return None
    tuned = f"{result.baseline} + thresholds"
    arms = [
        a for a in result.arms
        if a.gain and a.method != tuned and not a.is_reference
    ]  # fmt: skip
    idle = [a.method for a in arms if a.gain and a.gain.verdict in ("threshold only", "no effect")]
    if not idle:
        return []
    return [
        finding(
            "EQ410",
            f"{len(idle)} of {len(arms)} remedies buy nothing beyond the untreated model with "
            f"tuned thresholds: {listed(idle)}. In ranking they are practically equal to it.",
            {"arms": idle},
            f"Take '{tuned}': it is simpler, and its probabilities need no correction.",
        )
    ]


@check("EQ411")
def shifted_prior(material: Material) -> list[Finding] | None:
    """Find labels whose share at deployment differs from that of validation, by EM."""
    new, val = material.new, material.scores
    if new is None or val is None or val.labels is None or set(new.names) != set(val.names):
        return None
    if material.rule is None and not (new.has_probabilities and val.has_probabilities):
        return None
    new = new.in_order(val.names)
    truth = val.labels.one_hot()
    known = (truth != UNKNOWN).sum(0)
    source = ((truth == 1).sum(0) + 0.5) / (known + 1)
    if val.kind == "multiclass":
        source = source / source.sum()
    found = estimate_prior(new, source, rule=material.rule)
    p_values = np.broadcast_to(found.p_value, source.shape)
    low, high = source / 1.5, source * 1.5
    bad = np.flatnonzero(
        (p_values < 0.01 / source.size) & ((found.prior < low) | (found.prior > high))
    )
    if not bad.size:
        return []
    rows = {
        val.names[i]: {"validation": float(source[i]), "deployment": float(found.prior[i]),
                       "interval": [float(found.low[i]), float(found.high[i])]}
        for i in bad
    }  # fmt: skip
    shown = [f"{n} {r['validation']:.3f} to {r['deployment']:.3f}" for n, r in rows.items()]
    return [
        finding(
            "EQ411",
            f"Where decisions are to be made, {len(rows)} of {len(val.names)} occur more or less "
            f"often than on validation rows, by EM on the scores: {listed(shown)}. That assumes "
            "that only shares have changed, which no scores can prove.",
            {"labels": rows},
            'Tune for it: tune(scores, target_prior="em", deployment=new), or declare the shares.',
            "Label a few hundred of the new rows to be sure.",
        )
    ]


@check("EQ340")
def differing_arms(material: Material) -> list[Finding] | None:
    """Find arms that differ in data, length or budget."""
    if len({t.method for t in material.trials}) < 2:
        return None
    parts: dict[str, dict[str, set[str]]] = {}
    for trial in material.trials:
        training = trial.config.get("training", {})
        said = {
            "epochs": training.get("epochs", len(trial.history) or None),
            "batch size": training.get("batch_size"),
            "training rows": trial.n_train,
            "split": (trial.seed, trial.config.get("split")),
            "settings tried": trial.config.get("tuning", {}).get("chosen_among", 1),
        }
        for key, value in said.items():
            parts.setdefault(key, {}).setdefault(trial.method, set()).add(repr(value))
    odd = {
        key: {m: sorted(v) for m, v in by_arm.items()}
        for key, by_arm in parts.items()
        if len({frozenset(v) for v in by_arm.values()}) > 1
    }
    if not odd:
        return []
    shown = [
        f"{key} ({listed([f'{m} {min(v)}' for m, v in by_arm.items()], 3)})"
        for key, by_arm in odd.items()
        if key != "split"
    ] + (["rows of the same seed"] if "split" in odd else [])
    return [
        finding(
            "EQ340",
            f"The arms differ in more than the remedy: {listed(shown)}. What looks like the "
            "remedy's doing may be that.",
            {"differences": odd},
            "Give every arm, the untreated one too, the same rows, steps and number of settings.",
        )
    ]
