"""The published macro AUC of a real network and its bootstrap limits, from its stored scores.

    python -m benchmarks.golden_auc /path/to/ptbxl_exp0.npz

The file holds scores of xresnet1d101 on 2,203 ECGs with 71 labels and the 100 resamples of rows
that were used. The published limits are the 5 % and 95 % quantiles of the macro AUC over them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from equipoise.metrics import macro_average, macro_influence, roc_auc, roc_auc_influence

POINT = 0.9254358590055028


def resampled(y: np.ndarray, s: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the macro AUC of each resample; labels without positives there are left out."""
    return np.array([macro_average(roc_auc(y[r], s[r])).value for r in rows.astype(np.int64)])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.golden_auc", description=__doc__)
    parser.add_argument("scores", type=Path, help="ptbxl_exp0.npz")
    path = parser.parse_args(arguments).scores
    with np.load(path, allow_pickle=False) as stored:
        y, s = stored["y_test"], stored["xresnet1d101_test"]
        rows = stored["test_bootstrap_ids"]
    point = macro_average(roc_auc(y, s)).value
    drawn = resampled(y, s, rows)
    low, high = np.quantile(drawn, [0.05, 0.95])
    print(f"macro AUC   {point} (published {POINT}, difference {abs(point - POINT):.1e})")
    print(f"resamples   mean {drawn.mean()}, limits {low} to {high}")
    golden = path.with_name("ptbxl_exp0_golden.json")
    if golden.is_file():
        lines = json.loads(golden.read_text())["te"].splitlines()[1:]
        print("published  ", ", ".join(line.replace(",", " ") for line in lines))
    parts = [roc_auc_influence(y[:, c], s[:, c]) for c in range(y.shape[1])]
    error = macro_influence(parts, len(y)).standard_error()
    print(f"error       influence values {error:.5f}, resamples {drawn.std(ddof=1):.5f}")


if __name__ == "__main__":
    main()
