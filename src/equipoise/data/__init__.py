"""Torch data sets; needs the extra "torch"."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipoise.data.arrays import ArrayDataset
    from equipoise.data.augmentation import AUGMENTATIONS, Augmentation, Augmenter
    from equipoise.data.cifar import CifarBinary
    from equipoise.data.copies import CopiesDataset
    from equipoise.data.decoding import ImageSettings, decode_image
    from equipoise.data.hashes import image_hashes
    from equipoise.data.hugging_face import HuggingFaceRows, from_hugging_face
    from equipoise.data.images import BrokenImage, ImageBytes, ImageFiles, check_images
    from equipoise.data.loading import ImageLoader, make_loader, seed_worker
    from equipoise.data.sequences import Sequences, pad_batch, padding_mask
    from equipoise.data.tables import FeatureTable

_HOME = {
    "AUGMENTATIONS": "augmentation",
    "ArrayDataset": "arrays",
    "Augmentation": "augmentation",
    "Augmenter": "augmentation",
    "BrokenImage": "images",
    "CifarBinary": "cifar",
    "CopiesDataset": "copies",
    "FeatureTable": "tables",
    "HuggingFaceRows": "hugging_face",
    "ImageBytes": "images",
    "ImageFiles": "images",
    "ImageLoader": "loading",
    "ImageSettings": "decoding",
    "Sequences": "sequences",
    "check_images": "images",
    "decode_image": "decoding",
    "from_hugging_face": "hugging_face",
    "image_hashes": "hashes",
    "make_loader": "loading",
    "pad_batch": "sequences",
    "padding_mask": "sequences",
    "seed_worker": "loading",
}

__all__ = [
    "AUGMENTATIONS",
    "ArrayDataset",
    "Augmentation",
    "Augmenter",
    "BrokenImage",
    "CifarBinary",
    "CopiesDataset",
    "FeatureTable",
    "HuggingFaceRows",
    "ImageBytes",
    "ImageFiles",
    "ImageLoader",
    "ImageSettings",
    "Sequences",
    "check_images",
    "decode_image",
    "from_hugging_face",
    "image_hashes",
    "make_loader",
    "pad_batch",
    "padding_mask",
    "seed_worker",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'equipoise.data' has no attribute {name!r}")
    return getattr(import_module(f"equipoise.data.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
