"""A folder that `save_pretrained` wrote: model, tokenizer or image processor, and its rule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from equipoise._core.messages import hint, say
from equipoise.artifacts import DecisionRule, Scores
from equipoise.errors import DataError
from equipoise.integrations.huggingface._transformers import transformers
from equipoise.integrations.huggingface.rules import rule_of, to_new_scores

_TASKS = {
    "SequenceClassification": "text",
    "TokenClassification": "tokens",
    "ImageClassification": "image",
}
_PREPARED = {
    "text": ("AutoTokenizer", "tokenizer*.json"),
    "tokens": ("AutoTokenizer", "tokenizer*.json"),
    "image": ("AutoImageProcessor", "*processor_config.json"),
}


class FolderModel:
    """A saved classification model of transformers, with the rule that its config carries.

    Use for a folder that ``trainer.save_model`` or ``save_pretrained`` wrote. Nothing is
    downloaded, no code of the folder runs, and weights are read from safetensors alone.

    Args:
        folder: With config.json, model.safetensors, and the tokenizer or image processor.
        rule: Instead of that of the config.
        device: Where it runs.

    Attributes:
        task: "text", "tokens" or "image".
        rule: The rule.

    Raises:
        DataError: no such folder, another kind of model, no rule, no tokenizer or processor.
    """

    def __init__(
        self, folder: str | Path, rule: DecisionRule | None = None, device: str = "cpu"
    ) -> None:
        place = Path(folder)
        if not (place / "config.json").is_file():
            do = "Save it: trainer.save_model(folder)."
            raise DataError(say(str(place), "hold a model of transformers", "no config.json", do))
        config = _read(place, transformers.AutoConfig)
        found = [str(name) for name in config.architectures or ()]
        suffix = next((s for s in _TASKS if found and found[0].endswith(f"For{s}")), None)
        if suffix is None:
            expected = f"hold a model for one of {', '.join(_TASKS)}"
            do = "Save the model with its classification head."
            raise DataError(say(str(place), expected, found[0] if found else "no head", do))
        self.task = _TASKS[suffix]
        self.config = config
        own = rule_of(config) if rule is None else rule
        if own is None:
            do = hint("Make one with rule_from(trainer, validation) and save again, or {rule=}.")
            raise DataError(say(str(place), "carry a rule in config.json", "none", do))
        self.rule = own
        reader, file = _PREPARED[self.task]
        if not list(place.glob(file)):
            # transformers 5 would make an empty tokenizer of nothing.
            do = "Save what the model was trained with beside it, with save_pretrained."
            what = reader.removeprefix("Auto")
            raise DataError(say(str(place), f"hold a {what}", f"no {file}", do))
        self.prepare = _read(place, getattr(transformers, reader))
        head = getattr(transformers, f"AutoModelFor{suffix}")
        self.model = _read(place, head, use_safetensors=True).to(device).eval()

    def scores(
        self, rows: Sequence[Any], ids: Sequence[str], *, batch_size: int = 64, progress: Any = None
    ) -> Scores:
        """Return the model's outputs on new rows.

        Args:
            rows: Texts or images (Pillow); for tokens texts, split at blanks, or lists of words.
            ids: One per row.
            batch_size: Rows at once.
            progress: Called with rows done and rows in all.

        Returns:
            Scores of split "new"; of tokens one row per word, that of its first piece, called
            "ID:WORD". Words beyond the model's longest input have none.
        """
        parts, names = [], []
        for start in range(0, len(rows), batch_size):
            batch = rows[start : start + batch_size]
            logits, called = self._run(batch, ids[start : start + batch_size])
            parts.append(logits)
            names += called
            if progress is not None:
                progress(start + len(batch), len(rows))
        if not names:
            raise DataError(say("data", "hold at least one row or word", "none"))
        return to_new_scores(self.rule, self.config, np.concatenate(parts), ids=names)

    def _run(self, rows: Sequence[Any], ids: Sequence[str]) -> tuple[Any, list[str]]:
        if self.task == "image":
            batch = self.prepare(list(rows), return_tensors="pt")
        else:
            words = [r.split() if isinstance(r, str) else list(r) for r in rows]
            how = {"padding": True, "truncation": True, "return_tensors": "pt"}
            given = words if self.task == "tokens" else list(rows)
            batch = self.prepare(given, is_split_into_words=self.task == "tokens", **how)
        on_device = {name: value.to(self.model.device) for name, value in batch.items()}
        with torch.no_grad():
            logits = self.model(**on_device).logits.double().cpu().numpy()
        if self.task != "tokens":
            return logits, list(ids)
        found, called = [], []
        for i, name in enumerate(ids):
            pieces = batch.word_ids(i)
            first = {word: at for at, word in reversed(list(enumerate(pieces))) if word is not None}
            for word in sorted(first):
                found.append(logits[i, first[word]])
                called.append(f"{name}:{word}")
        return np.reshape(found, (-1, logits.shape[-1])), called


def _read(place: Path, reader: Any, **more: Any) -> Any:
    """Return what transformers reads from a folder, silently; its refusals in one line."""
    bars = transformers.utils.logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        return reader.from_pretrained(
            str(place), local_files_only=True, trust_remote_code=False, **more
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        what = reader.__name__.removeprefix("Auto")
        do = "Save it there with save_pretrained."
        got = f"{str(error).strip().split(chr(10))[0]:.120}"
        raise DataError(say(str(place), f"hold a {what} that can be read", got, do)) from error
    finally:
        if shown:
            bars.enable_progress_bar()
