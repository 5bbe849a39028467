"""Pipelines of transformers that answer with a rule's probabilities and decisions."""

from __future__ import annotations

from typing import Any

import numpy as np
from transformers import (
    ImageClassificationPipeline,
    TextClassificationPipeline,
    TokenClassificationPipeline,
)

from equipoise._core.messages import say
from equipoise.artifacts import DecisionRule
from equipoise.artifacts.rule import Decisions
from equipoise.errors import DataError, UsageError
from equipoise.integrations.huggingface.rules import rule_of, to_new_scores


def _rule(config: Any) -> DecisionRule:
    rule = rule_of(config)
    if rule is None:
        do = "Tune one: rule_from(trainer, validation); or put_rule(model, rule)."
        raise DataError(say("model.config", "carry a rule", "none", do))
    if rule.choice is not None and rule.choice["form"] == "budget":
        do = "Decide all rows together: `equipoise predict`."
        raise UsageError(say("rule", "decide row by row", "a budget over all rows", do))
    return rule


def _decide(config: Any, logits: Any) -> Decisions:
    """Return what the rule of a config says of some rows of logits, (N, C)."""
    return _ordered(_rule(config), config, logits.float().numpy())


def _ordered(rule: DecisionRule, config: Any, outputs: Any) -> Decisions:
    return rule.apply(to_new_scores(rule, config, outputs.astype(np.float64)))


def _entries(made: Decisions, row: int = 0) -> list[dict[str, Any]]:
    """Return one entry per class or label of a row, the most probable first."""
    told = made.predictions[row]
    entries = [
        {
            "label": name,
            "score": float(made.probabilities[row, i]),
            "decision": bool(told[i]) if np.ndim(told) else i == int(told),
        }
        for i, name in enumerate(made.names)
    ]
    return sorted(entries, key=lambda entry: -entry["score"])


class RuleTextClassificationPipeline(TextClassificationPipeline):  # type: ignore[misc]
    """Text classification by the rule that the model's config carries.

    Use as ``pipeline("text-classification", model=..., tokenizer=...,
    pipeline_class=RuleTextClassificationPipeline)``.

    Each text is answered with one entry per class or label: "label", "score" (the corrected
    probability at the rule's target prior, in [0, 1]) and "decision"; the most probable first.
    ``top_k`` and ``function_to_apply`` have no say.

    Raises:
        DataError: the config carries no rule.
        UsageError: a rule with a budget over all rows.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        _rule(self.model.config)

    def __call__(self, inputs: Any, **named: Any) -> Any:
        """Return the entries of one text, or a list of them."""
        return super().__call__(inputs, **{"top_k": None, **named})

    def postprocess(self, model_outputs: Any, **_: Any) -> Any:
        """Apply the rule to the logits."""
        return _entries(_decide(self.model.config, model_outputs["logits"][:1]))


class RuleImageClassificationPipeline(ImageClassificationPipeline):  # type: ignore[misc]
    """Image classification by the rule that the model's config carries.

    As :class:`RuleTextClassificationPipeline`, for ``pipeline("image-classification", ...)``.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        _rule(self.model.config)

    def postprocess(self, model_outputs: Any, **_: Any) -> Any:
        """Apply the rule to the logits."""
        return _entries(_decide(self.model.config, model_outputs["logits"][:1]))


class RuleTokenClassificationPipeline(TokenClassificationPipeline):  # type: ignore[misc]
    """Token classification by the rule that the model's config carries.

    Each text is answered with its tokens that are decided for another class than "O" (or those of
    ``ignore_labels``): "entity", "score" (its corrected probability), "index", "word", "start" and
    "end", as without an aggregation. For several labels a token comes once per label that is
    decided.

    Raises:
        DataError: the config carries no rule.
        UsageError: a rule with a budget over all rows, or an aggregation: it would go by the
            largest score and not by the decision.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        _rule(self.model.config)

    def postprocess(
        self, all_outputs: Any, aggregation_strategy: Any = None, ignore_labels: Any = None
    ) -> list[dict[str, Any]]:
        """Apply the rule to the logits of each token."""
        if getattr(aggregation_strategy, "value", aggregation_strategy) not in (None, "none"):
            do = "Leave it out, and join the decided tokens."
            raise UsageError(say("aggregation_strategy", "be 'none'", aggregation_strategy, do))
        left_out = ["O"] if ignore_labels is None else ignore_labels
        found = []
        for part in all_outputs:
            made = _decide(self.model.config, part["logits"][0])
            ids = part["input_ids"][0].tolist()
            special = part["special_tokens_mask"][0].tolist()
            offsets = part["offset_mapping"]
            words = self.tokenizer.convert_ids_to_tokens(ids)
            for i, word in enumerate(words):
                told = made.predictions[i]
                chosen = np.flatnonzero(told) if np.ndim(told) else [int(told)]
                start, end = (None, None) if offsets is None else offsets[0][i].tolist()
                found += [
                    {
                        "entity": made.names[c],
                        "score": float(made.probabilities[i, c]),
                        "index": i,
                        "word": word,
                        "start": start,
                        "end": end,
                    }
                    for c in chosen
                    if not special[i] and made.names[c] not in left_out
                ]
        return found
