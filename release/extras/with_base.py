"""No extra: from a table and from scores to a decision and a report, and what asks for more."""

import importlib.util
import subprocess

import numpy as np
import small_table

import equipoise as eq

assert importlib.util.find_spec("torch") is None
small_table.write()
small_table.equipoise(
    "diagnose", "rows.csv", "--label", "ill", "--positive", "yes", "--negative", "no"
)
small_table.equipoise("methods")
small_table.compare(models="logistic_regression", arms="none,pos_weight")
rng = np.random.default_rng(0)
hot = (rng.random((600, 2)) < [0.3, 0.1]).astype(int)
logits = 3 * hot - 2 + rng.normal(size=(600, 2))
labels = eq.Labels.from_array(hot, kind="multilabel", names=["A", "B"], ids=range(600))
val = eq.Scores.from_arrays(labels[:300], logits=logits[:300], split="val")
test = eq.Scores.from_arrays(labels[300:], logits=logits[300:], split="test")
rule = eq.tune(val, objective="f1")
rule.save("rule.json")
assert eq.evaluate(eq.DecisionRule.load("rule.json"), test).overall["macro"]["f1"].value > 0.5
# A loss needs torch: one line and exit code 2, no traceback.
asked = subprocess.run(
    ["equipoise", "audit", "equipoise.losses:AsymmetricLoss", "--allow-code"],
    capture_output=True, text=True, check=False,
)  # fmt: skip
assert asked.returncode == 2, asked.stderr
assert 'pip install "equipoise[torch]"' in asked.stderr, asked.stderr
assert "Traceback" not in asked.stderr
