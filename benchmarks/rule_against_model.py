"""Does a tuned rule decide, and say probabilities, no worse than the model that it is made from?

Five models on ten generated tables (two classes, several, several labels), seeds redraw the rows.
The model decides by ``predict``, the rule of ``DecisionRuleClassifier`` by its own objective (F1,
for several classes balanced accuracy, for several labels macro F1). Log loss is held against the
model's own probabilities, clipped to [1e-7, 1 - 1e-7]. Differences are paired over seeds, with t
intervals; "worse" is below 0 at 95 % after Holm's adjustment over all 50 pairs.

    python -m benchmarks.rule_against_model --seeds 8 --out table.json
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student
from sklearn.datasets import make_classification, make_multilabel_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from equipoise.metrics import holm
from equipoise.studies.estimator import DecisionRuleClassifier

TRAIN, TEST = 1500, 4000
MODELS: dict[str, Any] = {
    "forest": lambda s: RandomForestClassifier(100, random_state=s),
    "neighbours": lambda _: KNeighborsClassifier(15),
    "tree": lambda s: DecisionTreeClassifier(random_state=s),
    "boosting": lambda s: HistGradientBoostingClassifier(max_iter=100, random_state=s),
    "logistic": lambda _: LogisticRegression(max_iter=2000),
}
TWO = {
    "two .30": (0.30, 0.05, 1.0),
    "two .15": (0.15, 0.10, 1.0),
    "two .10": (0.10, 0.01, 0.7),
    "two .05": (0.05, 0.01, 1.0),
    "two .03": (0.03, 0.005, 1.2),
}
SEVERAL = {
    "three 70:20:10": ((0.7, 0.2, 0.1), 1.0),
    "five, tail": ((0.6, 0.2, 0.1, 0.06, 0.04), 1.0),
    "eight, tail": ((0.4, 0.2, 0.13, 0.09, 0.07, 0.05, 0.04, 0.02), 1.2),
}
LABELS = {"five labels": (5, 2), "eight labels": (8, 2)}


def draw(table: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    n = TRAIN + TEST
    if table in TWO:
        share, flip, sep = TWO[table]
        return make_classification(n, n_features=20, n_informative=6, weights=[1 - share],
                                   flip_y=flip, class_sep=sep, random_state=seed)  # fmt: skip
    if table in SEVERAL:
        shares, sep = SEVERAL[table]
        return make_classification(n, n_features=20, n_informative=8, n_classes=len(shares),
                                   n_clusters_per_class=1, weights=list(shares), flip_y=0.02,
                                   class_sep=sep, random_state=seed)  # fmt: skip
    width, per_row = LABELS[table]
    return make_multilabel_classification(n, n_features=20, n_classes=width, n_labels=per_row,
                                          length=30, random_state=seed)  # fmt: skip


def value(y: np.ndarray, decided: np.ndarray) -> float:
    if y.ndim == 2:
        return float(f1_score(y, decided, average="macro", zero_division=0))
    return float(f1_score(y, decided) if y.max() == 1 else balanced_accuracy_score(y, decided))


def loss(y: np.ndarray, p: Any) -> float:
    if y.ndim == 2:
        p = np.stack([q[:, 1] for q in p], 1) if isinstance(p, list) else np.asarray(p)
        return float(np.mean([loss(y[:, c], np.stack([1 - p[:, c], p[:, c]], 1))
                              for c in range(y.shape[1])]))  # fmt: skip
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return float(log_loss(y, p / p.sum(1, keepdims=True), labels=np.arange(p.shape[1])))


def one(table: str, model: str, seed: int) -> list[float]:
    x, y = draw(table, seed)
    made = MODELS[model](seed)
    natively = model in ("forest", "tree", "neighbours")
    made = MultiOutputClassifier(made) if y.ndim == 2 and not natively else made
    rule = DecisionRuleClassifier(made, seed=seed).fit(x[:TRAIN], y[:TRAIN])
    own, new, truth = rule.estimator_, x[TRAIN:], y[TRAIN:]
    return [value(truth, own.predict(new)), value(truth, rule.predict(new)),
            loss(truth, own.predict_proba(new)), loss(truth, rule.predict_proba(new))]  # fmt: skip


def paired(gaps: np.ndarray) -> tuple[float, float, float]:
    """Return mean, half width at 95 % and the p-value of a mean of 0."""
    error = gaps.std(ddof=1) / np.sqrt(gaps.size)
    reach = float(student.ppf(0.975, gaps.size - 1) * error)
    p = float(2 * student.sf(abs(gaps.mean()) / error, gaps.size - 1)) if error > 0 else 1.0
    return float(gaps.mean()), reach, p


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for table in (*TWO, *SEVERAL, *LABELS):
        for model in MODELS:
            made = np.array([one(table, model, s) for s in range(options.seeds)])
            gain, less = paired(made[:, 1] - made[:, 0]), paired(made[:, 3] - made[:, 2])
            rows.append({"table": table, "model": model, "means": made.mean(0).tolist(),
                         "gain": gain, "loss": less})  # fmt: skip
            means = made.mean(0)
            print(f"{table:15s} {model:11s} {means[0]:.3f} {means[1]:.3f} {gain[0]:+.3f} +- "
                  f"{gain[1]:.3f}   {means[2]:.3f} {means[3]:.3f} {less[0]:+.3f} +- {less[1]:.3f}",
                  flush=True)  # fmt: skip
    for key, sign in (("gain", -1), ("loss", 1)):
        adjusted, _ = holm([row[key][2] for row in rows])
        bad = [f"{r['table']}, {r['model']}" for r, p in zip(rows, adjusted, strict=True)
               if p < 0.05 and sign * r[key][0] > 0]  # fmt: skip
        print(f"significantly worse in {key}: {bad or 'none'} of {len(rows)}")
    if options.out is not None:
        options.out.write_text(json.dumps({"seeds": options.seeds, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
