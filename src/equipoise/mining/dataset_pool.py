"""A pool over a torch data set: images, patches, sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Ints
from equipoise._core.fingerprint import fingerprint_array
from equipoise._core.identity import as_text
from equipoise._core.messages import say
from equipoise.artifacts import Labels
from equipoise.errors import DataError, MissingExtraError, ShapeError
from equipoise.mining.pools import Pool, as_picture, batch_rows_for

try:
    import torch
    from torch import Tensor
    from torch.utils.data import Dataset
except (ImportError, RuntimeError) as error:
    raise MissingExtraError("torch", "torch", "equipoise.mining.DatasetPool") from error

from equipoise.data import make_loader, seed_worker


class DatasetPool(Pool):
    """A pool over a torch data set whose items are (input, target).

    Use for what is decoded or cut out when it is asked for: image files, :class:`PatchDataset`,
    sequences. Prefer :class:`ArrayPool` for arrays, which reads many rows at once.

    Args:
        dataset: Item i is (input, anything).
        labels: Of all rows: one binary label, or classes; None takes ``dataset.labels``.
        background: For classes: the class whose rows are the negatives.
        collate: Makes a batch of items; None takes ``dataset.collate`` where there is one, and
            else stacks tensors.
        num_workers: Processes that read.
        batch_rows: Rows that are read and scored at once; None takes 16 MiB of them.

    Raises:
        ShapeError: not one item per label.
        DataError: no labels, or several.

    Example:
        >>> from equipoise.data import ArrayDataset
        >>> labels = Labels.from_array([0, 1, 0], kind="multilabel")
        >>> pool = DatasetPool(ArrayDataset(np.eye(3, dtype=np.float32), labels))
        >>> pool.n_negative, pool.read([1]).tolist()
        (2, [[0.0, 1.0, 0.0]])
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        labels: Labels | None = None,
        *,
        background: int = 0,
        collate: Callable[[Sequence[Any]], Any] | None = None,
        num_workers: int = 0,
        batch_rows: int | None = None,
    ) -> None:
        found = getattr(dataset, "labels", None) if labels is None else labels
        if not isinstance(found, Labels):
            raise DataError(say("labels", "be given, or be carried by the data set", "neither"))
        size = len(dataset)  # type: ignore[arg-type]
        if size != len(found):
            expected = f"have one item per label = {len(found)}"
            raise ShapeError(say("dataset", expected, size))
        first = dataset[0][0]
        row_bytes = first.nbytes if isinstance(first, Tensor) else 2**16
        super().__init__(
            found.values if found.kind == "multiclass" else found.values[:, 0],
            found.kind,
            found.names,
            background=background,
            batch_rows=batch_rows or min(1024, batch_rows_for(row_bytes)),
        )
        self.dataset, self._labels, self.num_workers = dataset, found, num_workers
        self.collate = getattr(dataset, "collate", None) if collate is None else collate
        self.has_ids = found.ids is not None

    def batches(self, rows: Ints, size: int) -> Iterator[Any]:
        """Yield what the data set's loader makes of some rows."""
        if not rows.size:
            return
        loader = make_loader(
            self.dataset,
            rows.tolist(),
            size,
            num_workers=self.num_workers,
            collate=self.collate,
            worker_init_fn=seed_worker,
            generator=torch.Generator(),
        )
        for batch in loader:
            yield batch[0]

    def groups(self, rows: Ints) -> NDArray[Any] | None:
        """Return those of the labels."""
        return None if self._labels.groups is None else self._labels.groups[rows]

    def ids(self, rows: Ints) -> NDArray[Any]:
        """Return those of the labels, or positions."""
        return as_text(rows) if self._labels.ids is None else self._labels.ids[rows]

    def picture(self, row: int) -> NDArray[Any] | None:
        """Return the item's input where it has the shape of an image, (C, H, W)."""
        x = self.dataset[row][0]
        return as_picture(x.numpy()) if isinstance(x, Tensor) and x.ndim == 3 else None

    @property
    def fingerprint(self) -> str:
        """That of labels and, where it has one, of the data set."""
        inputs = str(getattr(self.dataset, "fingerprint", None))
        return fingerprint_array(np.asarray([super().fingerprint, inputs]))
