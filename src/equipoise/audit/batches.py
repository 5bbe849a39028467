"""What stands in each batch: its positives, and the rows that come twice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from equipoise.artifacts.labels import Labels
from equipoise.audit.draws import Rows


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """Batches of one epoch.

    Args:
        names: One name per class or label.
        batches: How many there are.
        smallest: Rows in the smallest batch.
        largest: Rows in the largest batch.
        positives: Mean number of positives of each label in a batch.
        without: Share of batches without any positive of each label.
        repeated: Share of drawn rows that stand in their batch already.

    Example:
        >>> labels = Labels.from_array([0, 0, 0, 1], kind="multiclass")
        >>> facts = batch_facts(np.array([0, 1, 2, 3]), np.array([2, 2]), labels)
        >>> facts.positives, facts.without
        ((1.5, 0.5), (0.0, 0.5))
    """

    names: tuple[str, ...]
    batches: int
    smallest: int
    largest: int
    positives: tuple[float, ...]
    without: tuple[float, ...]
    repeated: float

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers, ready for JSON."""
        body = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in body.items()}

    def text(self) -> str:
        """Return the facts as aligned plain text."""
        size = f"{self.smallest:,}" if self.smallest == self.largest else (
            f"{self.smallest:,} to {self.largest:,}"
        )  # fmt: skip
        wide = max(len("label"), *(len(n) for n in self.names))
        lines = [f"{self.batches:,} batches of {size} rows", ""]
        lines.append(f"{'label':<{wide}}  per batch  batches without")
        for name, mean, none in zip(self.names, self.positives, self.without, strict=True):
            lines.append(f"{name:<{wide}}  {mean:>9.2f}  {none:>15.1%}")
        lines += ["", f"{self.repeated:.1%} of the rows stand in their batch already"]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()


def batch_facts(rows: Rows, sizes: Rows, labels: Labels) -> BatchFacts:
    """Count positives per batch; ``rows`` are the batches one after the other."""
    n = sizes.size
    batch = np.repeat(np.arange(n), sizes)
    mean, none = [], []
    for k in range(labels.num_classes):
        hot = labels.values == k if labels.kind == "multiclass" else labels.values[:, k] == 1
        counts = np.bincount(batch[hot[rows]], minlength=n)
        mean.append(float(counts.mean()))
        none.append(float((counts == 0).mean()))
    distinct = np.unique(batch * len(labels) + rows).size
    return BatchFacts(
        names=labels.names,
        batches=int(n),
        smallest=int(sizes.min()),
        largest=int(sizes.max()),
        positives=tuple(mean),
        without=tuple(none),
        repeated=1.0 - distinct / max(rows.size, 1),
    )
