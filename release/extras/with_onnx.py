"""Extra onnx: a rule alone, and a network with its rule, as graphs."""

import numpy as np
import onnx
import onnx.reference

import equipoise as eq
from equipoise.export import export_rule

rng = np.random.default_rng(0)
y = (rng.random(400) < 0.2).astype(int)
z = 3 * y - 2 + rng.normal(size=400)
labels = eq.Labels.from_array(y, kind="multilabel", names=["ill"])
scores = eq.Scores.from_arrays(labels, logits=z, split="val")
rule = eq.tune(scores, objective="f1")
export_rule(rule, "rule.onnx")
made = onnx.reference.ReferenceEvaluator("rule.onnx").run(None, {"scores": z[:, None]})
assert np.allclose(made[0], rule.apply(scores).probabilities, atol=1e-9)
assert (made[1] == rule.apply(scores).predictions).all()
