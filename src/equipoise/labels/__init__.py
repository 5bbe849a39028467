"""Labels: counting, describing and weighting them; NumPy only, loaded on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise._core.faces import lazy_face

if TYPE_CHECKING:
    from equipoise.labels.concurrence import (
        Concurrence as Concurrence,
        gini as gini,
        scumble as scumble,
    )
    from equipoise.labels.counts import (
        Counts as Counts,
        counts_from as counts_from,
    )
    from equipoise.labels.groups import (
        frequency_groups as frequency_groups,
    )
    from equipoise.labels.pairs import (
        cooccurrence as cooccurrence,
        lift as lift,
    )
    from equipoise.labels.statistics import (
        Statistics as Statistics,
        label_statistics as label_statistics,
    )
    from equipoise.labels.weights import (
        class_weights as class_weights,
        pos_weights as pos_weights,
        priors as priors,
    )

_HOME = {
    "concurrence": "Concurrence gini scumble",
    "counts": "Counts counts_from",
    "groups": "frequency_groups",
    "pairs": "cooccurrence lift",
    "statistics": "Statistics label_statistics",
    "weights": "class_weights pos_weights priors",
}
__all__, __getattr__, __dir__ = lazy_face(__name__, _HOME)
