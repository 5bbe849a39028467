"""What an output of 0.5 stands for, and what per-label weights do."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise.artifacts.finding import Finding
from equipoise.audit.probe import Probe, finding
from equipoise.errors import NotRecoverableError
from equipoise.losses._stationary import stationary_distribution

_SAME = 0.01
_SCALED = 1.05
SUSPECTS = (
    (
        "If everything is flagged, look for a sigmoid applied twice, in training or at evaluation: "
        "outputs then lie in 0.5 to 0.731, and a cut at 0.5 flags every row."
    ),
    "Then at the cut: on which scale is it, and is it the same in training and evaluation code?",
    (
        "Then at sampling and at how unknown targets are filled; or tune thresholds on validation "
        "rows and be done."
    ),
)


def _pulls(probe: Probe, logit: float) -> tuple[Tensor, Tensor] | None:
    """Return the gradients at targets 1 and 0, (L,) each, from one batch with half of each."""
    target = (torch.arange(8) % 2)[:, None].repeat(1, probe.width).float()
    gradient = probe.ask(torch.full((8, probe.width), logit), target).gradient
    if gradient is None or not gradient.isfinite().all():
        return None
    return gradient[target == 1].reshape(4, -1).mean(0), gradient[target == 0].reshape(4, -1).mean(
        0
    )


def _share(pulls: tuple[Tensor, Tensor]) -> Tensor:
    one, zero = (p.double() for p in pulls)
    return zero / (zero - one)


def meaning_findings(probe: Probe) -> list[Finding]:
    """Return the operating point per label, and what weights do to it."""
    if probe.kind == "multiclass":
        return _class_point(probe)
    middle = _pulls(probe, 0.0)
    if middle is None or not bool(_share(middle).isfinite().all()):
        return []
    point = _share(middle)
    by_name = {n: round(float(p), 4) for n, p in zip(probe.names, point, strict=True)}
    found = [_operating_point(probe, point, by_name)]
    one, zero = middle
    size = torch.maximum(one.abs(), zero.abs())
    spread = float(size.max() / size.min().clamp_min(1e-30))
    if spread > _SCALED and float(point.max() - point.min()) < _SAME:
        found.append(_rate_only(probe, size / size.min(), spread, by_name))
    return found


def _operating_point(probe: Probe, point: Tensor, by_name: dict[str, float]) -> Finding:
    evidence: dict[str, object] = {"operating_point": by_name, "scale": probe.scale}
    for output in (0.1, 0.9):
        at = _pulls(probe, float(torch.logit(torch.tensor(output))))
        if at is not None:
            evidence[f"true_probability_at_{output}"] = [round(float(v), 4) for v in _share(at)]
    listed = ", ".join(f"{n} {p:.3g}" for n, p in by_name.items())
    if bool(((point - 0.5).abs() < _SAME).all()):
        message = (
            "An output of 0.5 stands for a true probability of 0.5 for every label, whatever the "
            "weights. This loss by itself cannot cause a flood of positives."
        )
        return finding("EQ503", message, evidence, SUSPECTS)
    message = f"An output of 0.5 stands for these true probabilities: {listed}."
    if float(point.min()) < 0.5 - _SAME:
        message += " Calling 0.5 positive floods the labels whose number is low."
    todo = (
        (
            "Undo it before the cut: the true probability follows from the loss's own gradients "
            "(`equipoise.losses.recover_posterior`)."
        ),
        "Or tune thresholds on validation rows.",
    )
    return finding("EQ503", message, evidence, todo)


def _rate_only(probe: Probe, relative: Tensor, spread: float, by_name: dict[str, float]) -> Finding:
    factors = {n: round(float(f), 3) for n, f in zip(probe.names, relative, strict=True)}
    listed = ", ".join(f"{n} x{f:.3g}" for n, f in factors.items())
    message = (
        f"Gradients differ between labels by up to {spread:.3g} ({listed}), for positives and "
        "negatives alike: the weights scale each label's learning rate and do not separate its "
        "positives from its negatives. They neither treat imbalance nor move the cut."
    )
    evidence = {"relative_gradient": factors, "operating_point": by_name}
    todo = (
        (
            "For rare positives weight the positive term alone (`pos_weight`), and undo it before "
            "the cut."
        ),
        "With Adam and a head per label the scale cancels to a large part; drop it to see.",
    )
    return finding("EQ504", message, evidence, todo)


def _class_point(probe: Probe) -> list[Finding]:
    classes = torch.arange(probe.width)
    gradient = probe.ask(torch.zeros(probe.width, probe.width), classes).gradient
    if gradient is None or not gradient.isfinite().all():
        return []
    try:
        eta, _ = stationary_distribution(gradient.double()[None])
    except NotRecoverableError as error:
        message = f"No probabilities follow from its outputs: {error}"
        return [finding("EQ503", message, {}, ("Fit a calibrator on validation rows.",))]
    point = {n: round(float(p), 4) for n, p in zip(probe.names, eta[0], strict=True)}
    listed = ", ".join(f"{n} {p:.3g}" for n, p in point.items())
    if float((eta[0] - 1 / probe.width).abs().max()) < _SAME:
        message = "Equal outputs stand for equal probabilities: it moves no class against another."
        return [finding("EQ503", message, {"operating_point": point})]
    message = f"Equal outputs stand for these true probabilities: {listed}."
    todo = "Undo it before probabilities are used: `equipoise.losses.recover_posterior`."
    return [finding("EQ503", message, {"operating_point": point}, (todo,))]
