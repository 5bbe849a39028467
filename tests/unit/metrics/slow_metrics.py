"""Weighted metrics as a reader would write them: loops over rows, thresholds and pairs."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def slow_ap(y: Array, s: Array, w: Array) -> float:
    """Sum of precision times step in recall over distinct thresholds, rows weighted."""
    total = sum(w[i] for i in range(len(y)) if y[i] == 1)
    value, before = 0.0, 0.0
    for cut in sorted(set(s.tolist()), reverse=True):
        tp = sum(w[i] for i in range(len(y)) if s[i] >= cut and y[i] == 1)
        rows = sum(w[i] for i in range(len(y)) if s[i] >= cut and y[i] >= 0)
        if rows > 0:
            value += (tp - before) / total * tp / rows
        before = tp
    return value


def slow_auc(y: Array, s: Array, w: Array) -> float:
    """Weighted share of pairs in the right order, ties counted half."""
    above, pairs = 0.0, 0.0
    for i in range(len(y)):
        for j in range(len(y)):
            if y[i] == 1 and y[j] == 0:
                above += w[i] * w[j] * (1.0 if s[i] > s[j] else 0.5 if s[i] == s[j] else 0.0)
                pairs += w[i] * w[j]
    return above / pairs


def slow_f_beta(y: Array, flag: Array, w: Array, beta: float = 1.0) -> float:
    tp = sum(w[i] for i in range(len(y)) if y[i] == 1 and flag[i])
    fp = sum(w[i] for i in range(len(y)) if y[i] == 0 and flag[i])
    fn = sum(w[i] for i in range(len(y)) if y[i] == 1 and not flag[i])
    b = beta**2
    return (1 + b) * tp / ((1 + b) * tp + b * fn + fp)


def slow_balanced_accuracy(y: Array, predicted: Array, w: Array) -> float:
    recalls = []
    for c in sorted(set(y.tolist())):
        rows = [i for i in range(len(y)) if y[i] == c]
        hit = sum(w[i] for i in rows if predicted[i] == c)
        recalls.append(hit / sum(w[i] for i in rows))
    return sum(recalls) / len(recalls)


def slow_influence(metric: object, y: Array, s: Array, step: float = 1e-5) -> Array:
    """Central differences of the metric by the weight of each row."""
    out = np.zeros(len(y))
    for i in range(len(y)):
        up, down = np.ones(len(y)), np.ones(len(y))
        up[i] += step
        down[i] -= step
        out[i] = (metric(y, s, up) - metric(y, s, down)) / (2 * step)  # type: ignore[operator]
    return out
