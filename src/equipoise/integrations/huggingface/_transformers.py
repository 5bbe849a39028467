"""Import transformers and accelerate, or say which extra brings them."""

from __future__ import annotations

from equipoise.errors import MissingExtraError

try:
    import accelerate  # noqa: F401  # transformers asks for it only where a Trainer is made
    import transformers
except (ImportError, RuntimeError) as error:
    missing = getattr(error, "name", None) or "transformers"
    raise MissingExtraError(missing, "hf", "equipoise.integrations.huggingface") from error

__all__ = ["transformers"]
