"""Fingerprints: short hashes of arrays and settings that go with every number derived from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


def digest(text: str | bytes) -> str:
    """Return the SHA-256 hex digest of a text."""
    data = text.encode() if isinstance(text, str) else text
    return hashlib.sha256(data).hexdigest()


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces, so equal settings give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint_config(config: Any) -> str:
    """Return 16 hex digits that name a configuration."""
    return digest(canonical_json(config))[:16]


@dataclass(frozen=True, slots=True)
class Blocks:
    """An array that never stands whole in memory: it is hashed as if it did.

    Args:
        dtype: Of the whole.
        shape: Of the whole.
        parts: Its rows in order, some at a time.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    parts: Iterable[NDArray[Any]]


def fingerprint_array(*arrays: NDArray[Any] | Blocks) -> str:
    """Return 16 hex digits that name the content, shape and kind of the arrays."""
    state = hashlib.sha256()
    for array in arrays:
        if isinstance(array, Blocks):
            little = array.dtype.newbyteorder("<")
            state.update(f"{little.str}{array.shape}".encode())
            for part in array.parts:
                state.update(np.ascontiguousarray(part, dtype=little).data)
            continue
        data = np.ascontiguousarray(array)
        if data.dtype.kind in "OUS":
            data = np.char.encode(data.astype(str), "utf-8")
        little_data = data.astype(data.dtype.newbyteorder("<"), copy=False)
        state.update(f"{little_data.dtype.str}{little_data.shape}".encode())
        state.update(little_data.tobytes())
    return state.hexdigest()[:16]
