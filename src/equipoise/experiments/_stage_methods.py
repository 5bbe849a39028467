"""The rows of the catalogue that treat imbalance late, or in a second stage."""

from __future__ import annotations

from functools import partial

from equipoise.experiments._method import CLASSES, LABELS, Method, entry

__all__ = ["STAGE_METHODS"]

_row = partial(entry, module="stage_builders", first_choice=False)


def _both(builder: str) -> dict[str, str]:
    return {CLASSES: builder, LABELS: builder}


STAGE_METHODS: tuple[Method, ...] = (
    _row(
        "drw",
        "schedule",
        _both("drw"),
        "Train plainly, then weight classes or positives by inverse effective numbers.",
        "Cao et al., NeurIPS 2019, algorithm 1",
        "approximate",
        start=0.8,
        beta=0.9999,
    ),
    _row(
        "drs",
        "schedule",
        _both("drs"),
        "Train on all rows, then draw classes equally often, or rows by their rarest label.",
        "Cao et al., NeurIPS 2019, algorithm 1 with draws for weights",
        "approximate",
        start=0.8,
    ),
    _row(
        "ldam_drw",
        "schedule",
        {CLASSES: "ldam_drw"},
        "Train with LDAM on cosines, then with LDAM and class weights by effective numbers.",
        "Cao et al., NeurIPS 2019, algorithm 1 and eq. 13",
        "approximate",
        start=0.8,
        beta=0.9999,
        max_margin=0.5,
        scale=30.0,
    ),
    _row(
        "mixup_drw",
        "schedule",
        _both("mixup_drw"),
        "Blend pairs of rows all along, and weight classes or positives late; train longer.",
        "Zhang et al., ICLR 2018, section 2; Cao et al., NeurIPS 2019, algorithm 1",
        "none",
        start=0.8,
        beta=0.9999,
        alpha=1.0,
        per_sample=True,
        probability=1.0,
    ),
    _row(
        "crt",
        "two_stage",
        _both("crt"),
        "Train plainly, then train a new last layer alone, on rows drawn for balance.",
        "Kang et al., ICLR 2020, section 4",
        "approximate",
        epochs=10,
        lr=None,
    ),
    _row(
        "lws",
        "two_stage",
        {CLASSES: "lws"},
        "Train plainly, then learn one scale per class, on rows drawn for balance.",
        "Kang et al., ICLR 2020, section 4",
        "none",
        epochs=10,
        lr=None,
    ),
    _row(
        "tau_norm",
        "two_stage",
        {CLASSES: "tau_norm"},
        "Divide the last layer's class weights by their norm to a power chosen on validation.",
        "Kang et al., ICLR 2020, section 4",
        "none",
        bias="keep",
    ),
    _row(
        "ncm",
        "two_stage",
        {CLASSES: "ncm"},
        "Decide by the nearest class mean of the training features.",
        "Kang et al., ICLR 2020, section 4",
        "none",
    ),
)
