"""Small models of transformers and data for them, made on the spot; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

WORDS = [f"w{i}" for i in range(40)]
_SIZE = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


def tokenizer() -> Any:
    """A tokenizer of whole words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(names)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=32,
    )


def bert(head: str, num_labels: int, **config: Any) -> Any:
    """A BERT of one layer with a head: "Sequence" or "Token"."""
    torch.manual_seed(0)
    made = transformers.BertConfig(
        vocab_size=44, max_position_embeddings=32, num_labels=num_labels, **_SIZE, **config
    )
    return getattr(transformers, f"BertFor{head}Classification")(made)


def vit(num_labels: int, **config: Any) -> Any:
    """A vision transformer for pictures of 8 x 8."""
    torch.manual_seed(0)
    made = transformers.ViTConfig(
        image_size=8, patch_size=4, num_channels=3, num_labels=num_labels, **_SIZE, **config
    )
    return transformers.ViTForImageClassification(made)


def texts(n: int, seed: int) -> tuple[list[str], NDArray[np.int64]]:
    """Texts of 6 words, and whether each of two rare traits is there, (n, 2).

    Some words tell of a trait, more or less; no text tells for sure, so that 0.5 is a bad cut.
    """
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 40, size=(n, 6))
    speaks = np.zeros((40, 2))
    speaks[:12, 0] = speaks[12:24, 1] = np.linspace(0.5, 2.0, 12)
    log_odds = speaks[words].sum(axis=1) - [5.0, 4.5]
    traits = rng.random((n, 2)) < 1 / (1 + np.exp(-log_odds))
    return [" ".join(WORDS[w] for w in row) for row in words], traits.astype(np.int64)


def encoded(rows: list[str], labels: Any) -> list[dict[str, Any]]:
    """Texts as the Trainer takes them."""
    ids = tokenizer()(rows)["input_ids"]
    return [{"input_ids": i, "labels": y} for i, y in zip(ids, labels, strict=True)]


def arguments(folder: Path, **more: Any) -> Any:
    """Arguments of the Trainer for a small training on the CPU."""
    given = {
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_strategy": "no",
        "learning_rate": 5e-3,
        "per_device_train_batch_size": 32,
        "per_device_eval_batch_size": 200,
        "num_train_epochs": 4,
        "seed": 0,
    }
    return transformers.TrainingArguments(str(folder), **{**given, **more})
