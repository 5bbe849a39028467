"""A comparison: methods side by side, what each really bought, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equipoise._core.language import mark, said
from equipoise._core.messages import closest, counted, say
from equipoise._core.text import as_html, table
from equipoise.artifacts._io import as_declared, plain, read_json, reading, to_float, write_json
from equipoise.artifacts.estimate import Estimate
from equipoise.artifacts.evaluation import Evaluation
from equipoise.artifacts.finding import Finding
from equipoise.artifacts.labels import Kind
from equipoise.errors import UsageError

_SCHEMA, _VERSION = "equipoise.Comparison", 1


@dataclass(frozen=True, slots=True)
class Gain:
    """What a remedy bought over the baseline, paired over seeds and rows.

    Args:
        primary: Difference in the primary metric; its interval is adjusted over the remedies: it
            leaves 0 out where there is a gain or harm.
        bounds: The same with the interval of this remedy alone whose ends are read against the
            region of practical equivalence; each at 95 % where seeds are fixed.
        total: Difference at the default rule (0.5 or argmax).
        ranking_part: Difference with tuned thresholds: what training really bought.
        operating_part: The rest: what a free threshold would have given.
        per_seed: The primary difference of each seed.
        p_adjusted: Holm-adjusted p-value of the primary difference.
        smallest_detectable: Difference that this design finds with 80 % power.
        verdict: "ranking gain", "threshold only", "no effect", "harmful", "not worth it" or
            "undecided".
        loss_excluded: Whether a loss as large as the region, or larger, is excluded, for this
            remedy.
        needed: For "undecided": what would settle it, in words.
    """

    primary: Estimate
    bounds: Estimate
    total: Estimate
    ranking_part: Estimate
    operating_part: Estimate
    per_seed: tuple[float, ...]
    p_adjusted: float
    smallest_detectable: float
    verdict: str
    needed: str = ""
    loss_excluded: bool = False

    @property
    def shown(self) -> Estimate:
        """The difference with the interval that its verdict rests on."""
        return self.primary if self.verdict in ("ranking gain", "harmful") else self.bounds


@dataclass(frozen=True, slots=True)
class ArmRecord:
    """One method in a comparison.

    Args:
        method: Its name.
        n_seeds: Trials it rests on.
        record: The four-column record, metric -> Estimate: ranking ("macro_ap", "macro_auroc"),
            default rule ("default"), tuned rule ("tuned"), probability quality ("log_loss_raw",
            "log_loss_formula", "log_loss_calibrated").
        flagged: Label -> (share flagged at the default rule, at the tuned rule, share positive),
            means over seeds.
        recall: Label -> (recall at the default rule, at the tuned rule), means over seeds.
        exactness: How exactly its correction is known.
        gain: Against the baseline; None for the baseline itself.
        evaluation: Of the first seed, with the tuned rule.
        curves: Label -> points for the report ("precision", "recall", "predicted", "observed").
        notes: Remarks, such as an effective weight far from the nominal one.
        is_reference: Whether it is no remedy but stands beside them, such as a plain logistic
            regression; never recommended.
    """

    method: str
    n_seeds: int
    record: Mapping[str, Estimate]
    flagged: Mapping[str, tuple[float, float, float]]
    recall: Mapping[str, tuple[float, float]]
    exactness: str
    gain: Gain | None
    evaluation: Evaluation
    curves: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    is_reference: bool = False

    @property
    def verdict(self) -> str:
        """The verdict in words; of a reference, which treats nothing, how it does beside."""
        if self.gain is None:
            return "baseline"
        if self.is_reference:
            return f"{_BESIDE.get(self.gain.verdict, self.gain.verdict)} (reference)"
        if self.gain.verdict == "undecided" and self.gain.loss_excluded:
            return "undecided, no worthwhile loss"
        return self.gain.verdict


_BESIDE = {
    "ranking gain": "better",
    "harmful": "worse",
    "not worth it": "not worth it",
    "threshold only": "alike",
    "no effect": "alike",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Methods side by side on the same test rows.

    Args:
        title: What was compared, in words.
        kind: "multiclass" or "multilabel".
        names: One name per class or label.
        baseline: The method that the others are compared with.
        primary: The metric the verdict rests on.
        rule_metric: The metric at the default and the tuned rule.
        rope: Half-width of the region of practical equivalence.
        arms: In the order of the study; the baseline first.
        recommended: The simplest arm that no other beats.
        summary: One sentence a manager can read, the reason it could be wrong, and what else there
            is to say.
        data: The data card: rows per part, counts, prevalences.
        provenance: Versions, seeds, fingerprints, command, times.
        findings: What stands against judging remedies on this baseline, gravest first.
        question: What was asked: "on these data", "on a new sample like these", or "expected gain
            at this sample size" where every row was tested.
        regret: By how much, in the primary metric, the best other arm may still beat the one that
            is recommended, at the level of the bounds; NaN where seeds do not tell.
        rival: The arm that sets it, "" where it is 0.
        forecast: What twice the training rows would add to the baseline's primary metric, at 80 %,
            as refits on fewer suggest; None where there are none.
        looks: Seeds after which the study looked, the last its maximum; empty where they were
            fixed.
    """

    title: str
    kind: Kind
    names: tuple[str, ...]
    baseline: str
    primary: str
    rule_metric: str
    rope: float
    arms: tuple[ArmRecord, ...]
    recommended: str
    summary: tuple[str, ...]
    data: Mapping[str, Any]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    question: str = ""
    regret: float = math.nan
    rival: str = ""
    forecast: Estimate | None = None
    looks: tuple[int, ...] = ()

    def arm(self, method: str) -> ArmRecord:
        """Return one arm by the name of its method.

        Raises:
            UsageError: there is no such arm.
        """
        for record in self.arms:
            if record.method == method:
                return record
        known = [record.method for record in self.arms]
        raise UsageError(
            say("method", "be an arm of this comparison", repr(method), closest(method, known))
        )

    def __str__(self) -> str:
        """The verdict table and the two sentences."""
        return "\n".join(_parts(self))

    def _repr_html_(self) -> str:
        return as_html(_parts(self))

    def save(self, path: str | Path) -> Path:
        """Write as JSON."""
        body = {name: getattr(self, name) for name in self.__slots__}
        body |= {"arms": [_dump(a) for a in self.arms]}
        body |= {"findings": [f.to_dict() for f in self.findings]}
        body |= {"forecast": None if self.forecast is None else self.forecast.to_dict()}
        return write_json(path, _SCHEMA, _VERSION, body)

    @classmethod
    def load(cls, path: str | Path) -> Comparison:
        """Read what :meth:`save` wrote."""
        body = read_json(path, _SCHEMA, _VERSION)
        with reading(path, _SCHEMA):
            fields = {k: v for k, v in body.items() if k not in ("schema", "version", "arms")}
            fields["names"], fields["summary"] = tuple(fields["names"]), tuple(fields["summary"])
            fields["looks"] = tuple(fields.get("looks", ()))
            fields["regret"] = to_float(fields.get("regret"))
            told = fields.get("forecast")
            fields["forecast"] = None if told is None else Estimate.from_dict(told)
            fields["findings"] = tuple(map(Finding.from_dict, fields.get("findings", ())))
            return as_declared(cls(arms=tuple(_read(a) for a in body["arms"]), **fields))


_ESTIMATES = ("primary", "bounds", "total", "ranking_part", "operating_part")


def _dump(arm: ArmRecord) -> dict[str, Any]:
    body = {name: getattr(arm, name) for name in arm.__slots__}
    body["record"] = {k: e.to_dict() for k, e in arm.record.items()}
    body["evaluation"] = arm.evaluation.to_dict()
    if arm.gain is not None:
        gain = {name: getattr(arm.gain, name) for name in arm.gain.__slots__}
        body["gain"] = gain | {k: gain[k].to_dict() for k in _ESTIMATES}
    plain_body: dict[str, Any] = plain(body)
    return plain_body


def _read(body: Mapping[str, Any]) -> ArmRecord:
    fields = dict(body)
    if fields["gain"] is not None:
        gain = dict(fields["gain"])
        if "primary_90" in gain:  # as it was called while it had one level
            gain["bounds"] = gain.pop("primary_90")
        for name in _ESTIMATES:
            gain[name] = Estimate.from_dict(gain[name])
        for name in ("p_adjusted", "smallest_detectable"):
            gain[name] = to_float(gain[name])
        gain["per_seed"] = tuple(to_float(v) for v in gain["per_seed"])
        fields["gain"] = as_declared(Gain(**gain))
    fields["record"] = {k: Estimate.from_dict(e) for k, e in fields["record"].items()}
    for name in ("flagged", "recall"):
        fields[name] = {k: tuple(to_float(v) for v in row) for k, row in fields[name].items()}
    fields["evaluation"] = Evaluation.from_dict(fields["evaluation"])
    fields["notes"] = tuple(fields["notes"])
    return as_declared(ArmRecord(**fields))


_FEW_LABELS = 6


def _number(estimate: Estimate) -> str:
    return "-" if math.isnan(estimate.value) else f"{estimate.value:.3f}"


def _parts(comparison: Comparison) -> list[str]:
    """Return the verdict table and the two sentences, at most 30 lines."""
    short = "AP" if comparison.primary == "macro_ap" else "primary"
    words = ["arm", "macro AP", "AUROC", "default", "tuned", "log loss", f"d {short} [interval]",
             "verdict"]  # fmt: skip
    if comparison.looks:
        words[1:1] = ["seeds"]
    head = [said(word) for word in words]
    rows = []
    for arm in comparison.arms:
        record, gain = arm.record, arm.gain
        same = arm.method == f"{comparison.baseline} + thresholds"
        difference = "" if gain is None else (said("same model") if same else _signed(gain.shown))
        columns = ("macro_ap", "macro_auroc", "default", "tuned", "log_loss_calibrated")
        numbers = [_number(record[k]) if k in record else "-" for k in columns]
        own = [str(arm.n_seeds)] if comparison.looks else []
        rows.append([arm.method, *own, *numbers, difference, said(arm.verdict)])
    rules = (
        f"default, tuned: {comparison.rule_metric} at 0.5 or argmax, and with the rule tuned on "
        "other rows than it is tested on; log loss after calibration"
    )
    explained = [rules, *_protocol(comparison)]
    doubts = [f"{f.code}{mark(': ')}{said(f.message)}" for f in comparison.findings]
    lines = [comparison.title, *doubts, table(head, rows), *map(said, explained)]
    if comparison.kind == "multilabel" and len(comparison.names) <= _FEW_LABELS:
        lines += ["", *_decision_lines(comparison), ""]
    return [*lines, *map(said, comparison.summary), *map(said, forecast_words(comparison))]


def forecast_words(comparison: Comparison) -> list[str]:
    """Return what more rows would buy, as a sentence; nothing where that is not known."""
    found = comparison.forecast
    if found is None or math.isnan(found.low):
        return []
    word = {"macro_ap": "macro AP", "macro_auroc": "macro AUROC"}.get(
        comparison.primary, f"tuned {comparison.rule_metric}"
    )
    told = (
        f"Twice the training rows would buy {comparison.baseline} about {found.value:+.3f} in "
        f"{word} (80 %: {found.low:+.3f} to {found.high:+.3f}), as refits on half and a quarter of "
        "them suggest."
    )
    return [told]


def _protocol(comparison: Comparison) -> list[str]:
    """Return what was asked, how many seeds answer, and what the intervals are."""
    seeds = sorted({arm.n_seeds for arm in comparison.arms})
    shown = counted(seeds[0], "seed") if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    looks = f", looked at after {', '.join(map(str, comparison.looks))}" if comparison.looks else ""
    tuned = f"{comparison.baseline} + thresholds"
    open_ = [
        (a.method, a.gain.needed) for a in comparison.arms
        if a.gain and a.gain.needed and a.method != tuned
    ]  # fmt: skip
    asked = f"{comparison.question or 'on these data'}; {shown}{looks}"
    return [
        f"{asked}; region of practical equivalence: +-{comparison.rope:g}",
        "intervals of gains and harms hold at 95 % for all remedies together; those of the others "
        "at 95 % at either end, for that one alone" + (", as strict as its look" if looks else ""),
        *(f"{m}: {why}" for m, why in open_[:_FEW_LABELS]),
    ]


def _decision_lines(comparison: Comparison) -> list[str]:
    """Return recall and the share of rows flagged per label at the default rule."""
    names = comparison.names
    rows = []
    for arm in comparison.arms:
        pairs = [(arm.recall[n][0], arm.flagged[n][0]) for n in names]
        rows.append([arm.method, *(f"{r:.2f} ({100 * f:4.1f} %)" for r, f in pairs)])
    truth = comparison.arms[0].flagged
    rows.append([said("share positive"), *(f"({100 * truth[n][2]:4.1f} %)" for n in names)])
    return [table([said("recall (flagged) at 0.5"), *names], rows)]


def _signed(estimate: Estimate) -> str:
    if math.isnan(estimate.low):
        return f"{estimate.value:+.3f}"
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"
