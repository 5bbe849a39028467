"""How often sets of labels occur in rows that are made: shares of labels, and of pairs of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from equipoise._core.messages import closest, say
from equipoise.errors import UsageError

_ROUNDS, _CLOSE = 2000, 1e-9


def label_set_shares(
    prevalences: Sequence[float], names: Sequence[str], together: Mapping[str, float]
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Return all sets of a few labels, (2^L, L), and the share of rows that have each.

    Of all distributions with these shares it is the one of largest entropy: what is not said of a
    pair follows from independence. Found by iterative proportional fitting.

    Args:
        prevalences: Share of rows with each label, in (0, 1).
        names: Of the labels.
        together: "A+B" -> share of rows with both labels. Other pairs are as independent labels
            are, but for what follows from these.

    Raises:
        UsageError: an unknown label, or shares that no rows have.

    References:
        Deming and Stephan, On a Least Squares Adjustment of a Sampled Frequency Table When the
        Expected Marginal Totals are Known, Annals of Mathematical Statistics 11 (1940).

    Example:
        >>> sets, shares = label_set_shares([0.5, 0.2], ["A", "B"], {"A+B": 0.15})
        >>> [(row.tolist(), round(float(share), 2)) for row, share in zip(sets, shares)]
        [([0, 0], 0.45), ([0, 1], 0.05), ([1, 0], 0.35), ([1, 1], 0.15)]
    """
    sets = np.array(list(itertools.product((0, 1), repeat=len(names))), dtype=np.int8)
    shares = np.where(sets == 1, prevalences, 1.0 - np.asarray(prevalences)).prod(1)
    wanted = [(sets[:, column] == 1, share) for column, share in enumerate(prevalences)]
    for pair, share in together.items():
        one, other = _columns(pair, names)
        most = min(prevalences[one], prevalences[other])
        least = max(0.0, prevalences[one] + prevalences[other] - 1.0)
        if not least <= share <= most:
            expected = f"lie in [{least:.3g}, {most:.3g}], as the shares of its labels ask for"
            raise UsageError(say(f"data.together.{pair}", expected, share))
        wanted.append((sets[:, [one, other]].all(1), share))
        # At an end some sets do not occur: their share is 0 at once, which rounds only approach.
        number = sets[:, [one, other]].sum(1)
        if np.isclose(share, most, rtol=0, atol=_CLOSE):
            rarer = one if prevalences[one] <= prevalences[other] else other
            shares[(sets[:, rarer] == 1) & (number == 1)] = 0.0
            if prevalences[one] == prevalences[other]:
                shares[number == 1] = 0.0
        if np.isclose(share, least, rtol=0, atol=_CLOSE):
            shares[number == (0 if least > 0 else 2)] = 0.0
    for _ in range(_ROUNDS):
        off = 0.0
        for inside, share in wanted:
            for part, target in ((inside, share), (~inside, 1.0 - share)):
                held = float(shares[part].sum())
                off = max(off, abs(held - target))
                if held > 0.0:
                    shares[part] *= target / held
        if off < _CLOSE:
            return sets, shares / shares.sum()
    do = "Bring them nearer to the products of their labels' shares."
    raise UsageError(say("data.together", "be shares that rows can have", dict(together), do))


def _columns(pair: str, names: Sequence[str]) -> tuple[int, int]:
    parts = [part.strip() for part in pair.split("+")]
    for part in parts:
        if part not in names:
            raise UsageError(say("data.together", "name labels", repr(part), closest(part, names)))
    if len(parts) != 2 or parts[0] == parts[1]:
        raise UsageError(say("data.together", "name pairs such as A+B", repr(pair)))
    return names.index(parts[0]), names.index(parts[1])
