"""All rows; a public loss without a row fails the suite.

Each row brings a loss under all laws of test_losses.py and test_inverses.py.
"""

from __future__ import annotations

from class_cases import CLASS_CASES
from coupled_cases import COUPLED_CASES
from label_cases import LABEL_CASES
from loss_case import LossCase
from online_cases import ONLINE_CASES

__all__ = ["CASES", "NO_LOSS", "NO_NEUTRAL", "LossCase"]

CASES = [*CLASS_CASES, *LABEL_CASES, *COUPLED_CASES, *ONLINE_CASES]

NO_LOSS = {
    "ClassLoss",
    "Loss",
    "OnlineLoss",
    "Recovery",
    "Reduction",
    "recover_posterior",
}
"""Public names of equipoise.losses that are not losses."""

NO_NEUTRAL = {"hill", "pairwise_auc", "smooth_ap", "soft_f_beta", "two_way", "zlpr"}
"""Rows that no setting turns into a loss of torch."""
