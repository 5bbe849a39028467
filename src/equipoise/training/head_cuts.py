"""Many jobs as stacks that fit into memory; the cut decides speed and rounding."""

from __future__ import annotations

from collections.abc import Sequence

from equipoise.artifacts import Labels
from equipoise.training.head_jobs import ROWS_AT_ONCE, HeadJob, HeadSettings
from equipoise.training.head_layout import Layout
from equipoise.training.head_orders import draws_of, group_jobs

Group = list[HeadJob]


def cut_jobs(
    jobs: Sequence[HeadJob],
    settings: HeadSettings,
    *,
    n_features: int,
    labels: Labels,
    n_test: int,
) -> list[list[Group]]:
    """Return stacks of groups of jobs: one form, one length of epochs, within ``memory_gb``.

    Args:
        jobs: All jobs.
        settings: Shared by them.
        n_features: D.
        labels: Of all rows.
        n_test: Test rows.
    """
    forms: dict[tuple[int, str, bool], list[Group]] = {}
    for group in group_jobs(jobs):
        remedy = group[0].remedy
        # Blends of classes have targets of another shape.
        soft = remedy.mixing is not None and labels.kind == "multiclass"
        # A group may hold heads of both kinds, which share its order but not its network.
        for head in ("cosine", "linear"):
            part = [job for job in group if job.remedy.head == head]
            if part:
                key = draws_of(part[0], settings.epochs), head, soft
                forms.setdefault(key, []).append(part)
    stacks: list[list[Group]] = []
    for _, groups in sorted(forms.items()):
        stacks += _pack(groups, settings, n_features, labels.num_classes, n_test)
    return stacks


def _pack(
    groups: Sequence[Group], settings: HeadSettings, n_features: int, n_out: int, n_test: int
) -> list[list[Group]]:
    budget = settings.memory_gb * 1e9
    stacks: list[list[Group]] = []
    used = budget + 1
    for group in groups:
        per_head, per_order = stack_bytes(settings, n_features, n_out, len(group[0].val) + n_test)
        rest = list(group)
        while rest:
            room = int((budget - used - per_order) // per_head)
            if room < 1:
                stacks.append([])
                used = 0.0
                room = max(1, int((budget - per_order) // per_head))
            part, rest = rest[:room], rest[room:]
            stacks[-1].append(part)
            used += per_order + per_head * len(part)
    return stacks


def stack_bytes(
    settings: HeadSettings, n_features: int, n_out: int, n_scored: int
) -> tuple[int, int]:
    """Return the bytes that one more head takes, and one more order of rows.

    Args:
        settings: Batch size, width and dtype.
        n_features: D.
        n_out: C.
        n_scored: Validation and test rows.
    """
    size = 8 if settings.dtype == "float64" else 4
    first = settings.hidden or n_out
    layout = Layout([1], first)
    weights = (n_features + 1) * -(-layout.columns // layout.per_block)
    weights += (first + 1) * n_out if settings.hidden else 0
    # Weights, the kept ones, gradients, two moments, and three of their size within a step.
    per_head = 8 * weights * size
    per_head += settings.batch_size * (4 * first + 8 * n_out) * size
    # Outputs of two scorings, as numbers of the stack and as float64.
    per_head += n_scored * n_out * (2 * size + 16)
    per_head += min(n_scored, ROWS_AT_ONCE) * first * size
    per_order = (2 * settings.batch_size + 2 * ROWS_AT_ONCE) * n_features * size
    return per_head, per_order
