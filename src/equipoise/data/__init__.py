"""Torch data sets; needs the extra "torch"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise._core.faces import lazy_face

if TYPE_CHECKING:
    from equipoise.data.arrays import (
        ArrayDataset as ArrayDataset,
    )
    from equipoise.data.augmentation import (
        AUGMENTATIONS as AUGMENTATIONS,
        Augmentation as Augmentation,
        Augmenter as Augmenter,
    )
    from equipoise.data.cifar import (
        CifarBinary as CifarBinary,
    )
    from equipoise.data.copies import (
        CopiesDataset as CopiesDataset,
    )
    from equipoise.data.decoding import (
        ImageSettings as ImageSettings,
        decode_image as decode_image,
    )
    from equipoise.data.hashes import (
        image_hashes as image_hashes,
    )
    from equipoise.data.hugging_face import (
        HuggingFaceRows as HuggingFaceRows,
        from_hugging_face as from_hugging_face,
    )
    from equipoise.data.images import (
        BrokenImage as BrokenImage,
        ImageBytes as ImageBytes,
        ImageFiles as ImageFiles,
        check_images as check_images,
    )
    from equipoise.data.loading import (
        ImageLoader as ImageLoader,
        make_loader as make_loader,
        seed_worker as seed_worker,
    )
    from equipoise.data.sequences import (
        Sequences as Sequences,
        pad_batch as pad_batch,
        padding_mask as padding_mask,
    )
    from equipoise.data.tables import (
        FeatureTable as FeatureTable,
    )

_HOME = {
    "arrays": "ArrayDataset",
    "augmentation": "AUGMENTATIONS Augmentation Augmenter",
    "cifar": "CifarBinary",
    "copies": "CopiesDataset",
    "decoding": "ImageSettings decode_image",
    "hashes": "image_hashes",
    "hugging_face": "HuggingFaceRows from_hugging_face",
    "images": "BrokenImage ImageBytes ImageFiles check_images",
    "loading": "ImageLoader make_loader seed_worker",
    "sequences": "Sequences pad_batch padding_mask",
    "tables": "FeatureTable",
}
__all__, __getattr__, __dir__ = lazy_face(__name__, _HOME)
