"""The one registry of finding codes: code -> severity and title."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

__all__ = ["CODES", "Code"]


class Code(NamedTuple):
    """Severity and title shared by every finding of one code."""

    severity: Literal["tip", "warning", "error"]
    title: str


CODES: Mapping[str, Code] = MappingProxyType(
    {
        "EQ101": Code("error", "Labels that cannot be learned"),
        "EQ102": Code("warning", "Labels known from anecdotes"),
        "EQ103": Code("warning", "Too few positives for a sharp answer"),
        "EQ104": Code("tip", "Degree of imbalance"),
        "EQ105": Code("tip", "Accuracy without learning"),
        "EQ106": Code("tip", "What weighting does to the 0.5 cut"),
        "EQ107": Code("warning", "Number of rows unknown"),
        "EQ108": Code("warning", "Same inputs, other labels"),
        "EQ109": Code("tip", "Labels that always or never come together"),
        "EQ110": Code("warning", "Probably unlabelled positives"),
        "EQ111": Code("tip", "Entries that nobody knows"),
        "EQ112": Code("warning", "More unknown than absent"),
        "EQ113": Code("warning", "Names that differ only in writing"),
        "EQ115": Code("warning", "A label that says none"),
        "EQ116": Code("tip", "Rows with none of the labels"),
        "EQ201": Code("error", "Groups cross parts"),
        "EQ202": Code("error", "Identical rows in several parts"),
        "EQ203": Code("warning", "Labels missing from a part"),
        "EQ204": Code("warning", "Rows repeated before the split"),
        "EQ205": Code("warning", "Nearly the same images in several parts"),
        "EQ206": Code("warning", "Label shares differ between parts"),
        "EQ207": Code("error", "Test rows used for tuning"),
        "EQ208": Code("warning", "Copies kept together"),
        "EQ301": Code("error", "Squashed before a loss on logits"),
        "EQ302": Code("error", "Logits into a loss on probabilities"),
        "EQ303": Code("error", "Squashed twice"),
        "EQ304": Code("error", "Outputs and labels do not match"),
        "EQ305": Code("error", "Nothing would be trained"),
        "EQ306": Code("warning", "Frozen batch norm in train mode"),
        "EQ307": Code("error", "No finite loss from a batch"),
        "EQ308": Code("warning", "Learning rate gone too early"),
        "EQ309": Code("tip", "Loss flat while the metric moves"),
        "EQ310": Code("warning", "Outputs on one side of the cut"),
        "EQ311": Code("tip", "Validation loss rises"),
        "EQ312": Code("error", "Class weights with several labels"),
        "EQ313": Code("error", "Metric for another kind of target"),
        "EQ314": Code("error", "Softmax over independent labels"),
        "EQ315": Code("error", "Trainable changed since compile"),
        "EQ316": Code("tip", "Share of frozen weights"),
        "EQ317": Code("error", "Loss for another kind of target"),
        "EQ318": Code("warning", "Loss and activation of different kinds"),
        "EQ319": Code("error", "Unknown targets taken for numbers"),
        "EQ320": Code("error", "Targets that are none"),
        "EQ321": Code("warning", "Ranks no better than chance"),
        "EQ330": Code("tip", "What these weights do to the 0.5 cut"),
        "EQ331": Code("warning", "Weights beyond reason"),
        "EQ332": Code("warning", "Alpha against the rare side"),
        "EQ333": Code("tip", "Class-balanced weights that are inverse frequency"),
        "EQ334": Code("warning", "Weights from occurrences"),
        "EQ335": Code("warning", "Batches that miss the rare label"),
        "EQ336": Code("error", "Epoch chosen on test rows"),
        "EQ337": Code("warning", "Rare labels corrected twice"),
        "EQ338": Code("tip", "Loss still falling at the end"),
        "EQ339": Code("warning", "Tail memorised"),
        "EQ340": Code("warning", "Arms that differ in more than the remedy"),
        "EQ341": Code("warning", "Difference inside test noise"),
        "EQ342": Code("error", "Recall and precision swapped"),
        "EQ343": Code("warning", "Settings without effect"),
        "EQ401": Code("warning", "Saturated or tied scores"),
        "EQ402": Code("warning", "Flood or drought of positives"),
        "EQ403": Code("error", "Constant scores"),
        "EQ404": Code("error", "Scores are not what they are declared"),
        "EQ405": Code("error", "Scores that are not finite"),
        "EQ406": Code("tip", "Two runs that differ in the cut alone"),
        "EQ407": Code("warning", "Headline on anecdotal labels"),
        "EQ408": Code("warning", "Too few seeds"),
        "EQ409": Code("warning", "Claim above its cross-fit"),
        "EQ410": Code("tip", "No better than thresholds alone"),
        "EQ411": Code("warning", "Prior differs at deployment"),
        "EQ501": Code("error", "Not for logits"),
        "EQ502": Code("tip", "What a second sigmoid would do"),
        "EQ503": Code("tip", "What an output of 0.5 stands for"),
        "EQ504": Code("warning", "Weights that only scale the learning rate"),
        "EQ505": Code("error", "Loss or gradient not finite"),
        "EQ506": Code("warning", "Gradient lost where it is needed"),
        "EQ507": Code("warning", "Loss depends on the batch"),
        "EQ508": Code("warning", "Reduction is not what it says"),
        "EQ509": Code("error", "Loss with side effects"),
        "EQ512": Code("tip", "Unknown targets not left out"),
        "EQ513": Code("warning", "Nothing to learn from single rows"),
        "EQ601": Code("warning", "Length is not what is yielded"),
        "EQ602": Code("error", "Rows that do not exist"),
        "EQ603": Code("warning", "Every epoch draws the same"),
        "EQ604": Code("warning", "Draws hang on global generators"),
        "EQ605": Code("warning", "Not made for several ranks"),
        "EQ606": Code("warning", "A few rows carry the epoch"),
        "EQ607": Code("warning", "Rows that are hardly seen"),
        "EQ608": Code("warning", "Frequent labels rise as well"),
        "EQ609": Code("tip", "What the sampler does to probabilities"),
        "EQ610": Code("error", "A label is never drawn"),
        "EQ611": Code("warning", "Sampler and loss do the same twice"),
        "EQ612": Code("warning", "Weights that decide nothing"),
    }
)
