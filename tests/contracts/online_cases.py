"""Rows of the losses over picked entries."""

from __future__ import annotations

from typing import Any

from loss_case import LossCase

from equipoise import losses
from online_oracles import slow_negative_ratio, slow_ohem, slow_semi_hard

BCE = losses.BCELoss(reduction="none")
CE = losses.CrossEntropyLoss(reduction="none")


def ohem_row(name: str, loss: losses.Loss, **settings: Any) -> LossCase:
    return LossCase(
        name,
        losses.OHEMLoss,
        losses.ohem_loss,
        slow_ohem,
        {"loss": loss, "ratio": 0.3, **settings},
        {"loss": loss, "ratio": 1.0},
        unit="batch",
    )


ONLINE_CASES = [
    ohem_row("ohem_labels", BCE),
    ohem_row("ohem_per_label", BCE, per="label"),
    ohem_row("ohem_classes", CE),
    ohem_row("ohem_per_class", CE, per="class", min_kept=2),
    *(
        LossCase(
            f"negative_ratio_{per}",
            losses.NegativeRatioLoss,
            losses.negative_ratio_loss,
            slow_negative_ratio,
            {"loss": BCE, "ratio": ratio, "per": per},
            {"loss": BCE, "ratio": 1e6},
            unit="batch",
        )
        for per, ratio in (("batch", 1.0), ("label", 0.5))
    ),
    *(
        LossCase(
            f"semi_hard_{per}",
            losses.SemiHardLoss,
            losses.semi_hard_loss,
            slow_semi_hard,
            {"loss": BCE, "low": 0.3, "high": 0.9, "per": per},
            {"loss": BCE, "low": 0.0, "high": 1.0},
            unit="batch",
            learns_when_wrong=per == "label",
        )
        for per in ("batch", "label")
    ),
]
