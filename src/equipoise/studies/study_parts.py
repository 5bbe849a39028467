"""The parts of a study file that say what is compared, with which budget, and how it is judged."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field

from equipoise.studies.study_data import Strict

# Arms that keep one honest: of no model, or of one that needs no tuning.
REFERENCES = ("prevalence", "all_negative", "nearest_neighbours", "logistic_regression")
# A budget that is too small favours remedies that merely learn faster.
STEPS, MIN_EPOCHS = 2000, 20


class Training(Strict):
    """The budget, the same for every arm; without ``epochs``, enough for 2,000 optimizer steps."""

    hidden: int = Field(64, ge=0)
    epochs: int | None = Field(None, ge=1)
    batch_size: int = Field(64, ge=1)
    lr: float = Field(2e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)

    def resolved(self, n_train: int) -> Training:
        """Return the budget with its number of epochs for ``n_train`` rows."""
        if self.epochs is not None:
            return self
        per_epoch = math.ceil(n_train / self.batch_size)
        epochs = max(MIN_EPOCHS, math.ceil(STEPS / per_epoch))
        return self.model_copy(update={"epochs": epochs})


class ComparisonSpec(Strict):
    """How arms are tuned and judged."""

    objective: str | None = None
    target_prior: Literal["validation", "uniform"] | list[float] = "validation"
    primary: Literal["macro_ap", "macro_auroc", "tuned"] | None = None
    rope: float = Field(0.01, gt=0)
    confidence_level: float = Field(0.95, gt=0, lt=1)


class ArmSpec(Strict):
    """A method of the catalogue with its settings; ``name`` tells two settings apart."""

    method: str
    name: str | None = Field(None, pattern=r"^[\w .,+=-]{1,60}$")
    settings: dict[str, Any] = Field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name it goes by in the comparison."""
        return self.name or self.method


class StudyArm(ArmSpec):
    """An arm of a comparison; ``grid`` holds values that `tuning` may choose from.

    ``method`` is one of the catalogue, "a+b" of it, one of `REFERENCES`, or "module:callable" that
    returns a scikit-learn classifier.
    """

    grid: dict[str, list[Any]] = Field(default_factory=dict)

    @property
    def is_fitted(self) -> bool:
        """Whether scikit-learn fits it, or nothing at all, and no head is trained."""
        return self.method in REFERENCES or ":" in self.method


class TuningSpec(Strict):
    """What is chosen on validation rows, from equally many settings for every arm.

    ``settings`` of them are drawn from learning rates x weight decays x the arm's own grid; None
    takes as many as the smallest of the arms' grids has.
    """

    lr: list[Annotated[float, Field(gt=0)]] = Field(default_factory=list)
    weight_decay: list[Annotated[float, Field(ge=0)]] = Field(default_factory=list)
    settings: int | None = Field(None, ge=1, le=1000)
    seed: int = 0


class ComputeSpec(Strict):
    """Where it is computed. Device and threads decide rounding, so they are part of a trial."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(None, ge=1)
    memory_gb: float = Field(1.0, gt=0)
