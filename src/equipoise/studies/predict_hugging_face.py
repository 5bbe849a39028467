"""New texts or images through a saved Hugging Face model: outputs, inverse, decisions."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equipoise._core.identity import as_text
from equipoise._core.messages import closest, hint, say
from equipoise.artifacts import DecisionRule
from equipoise.boosting.model import as_frame
from equipoise.errors import DataError
from equipoise.studies.apply_file import Applied, apply_file

_COLUMNS = {"text": ("text", "sentence"), "tokens": ("tokens", "text", "sentence"),
            "image": ("image", "path", "file")}  # fmt: skip
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif")


def is_hugging_face_model(folder: str | Path) -> bool:
    """Whether a folder is what `save_pretrained` wrote."""
    return (Path(folder) / "config.json").is_file()


def predict_hugging_face(
    folder: str | Path,
    paths: Sequence[str],
    out: str | Path,
    *,
    column: str | None = None,
    rule: str | Path | None = None,
    batch_size: int = 64,
    device: str = "auto",
    progress: Any = None,
) -> Applied:
    """Write calibrated probabilities and decisions for new texts or images.

    Args:
        folder: From ``trainer.save_model``, its config with a rule.
        paths: Tables with a column of texts, or of image files by their path beside the table; or
            folders of images. For token classification a column of texts or of lists of words.
        out: Parquet or CSV: "id", ``probability:NAME`` and decisions; of tokens a row per word,
            called "ID:WORD".
        column: Of texts or image files; None takes one of the usual names.
        rule: Another rule than the config's.
        batch_size: Rows at once.
        device: "auto", "cpu", "cuda", "mps".
        progress: Called with rows done and rows in all.

    Raises:
        DataError: a folder without model, rule or tokenizer, a column that is missing, an image
            that cannot be read.
    """
    from equipoise.integrations.huggingface import FolderModel
    from equipoise.training.devices import choose_device

    own = None if rule is None else DecisionRule.load(rule)
    model = FolderModel(folder, own, str(choose_device(device)))
    rows: list[Any] = []
    ids: list[str] = []
    for path in paths:
        found, called = _rows(Path(path), model.task, column)
        rows += found
        ids += called
    if len(set(ids)) < len(ids):
        ids = as_text(np.arange(len(ids))).tolist()
    given = _Pictures(rows) if model.task == "image" else rows
    with tempfile.TemporaryDirectory() as place:
        scores = model.scores(given, ids, batch_size=batch_size, progress=progress)
        return apply_file(model.rule, scores.save(Path(place, "new.parquet")), out)


def _rows(path: Path, task: str, column: str | None) -> tuple[list[Any], list[str]]:
    """Return texts, lists of words or image files, and what each is called."""
    if task == "image" and path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in _PICTURES)
        if not files:
            raise DataError(say(str(path), "hold images", "none"))
        return files, [str(p.relative_to(path)) for p in files]
    frame = as_frame(str(path))
    names = _COLUMNS[task]
    name = column or next((n for n in names if n in frame.columns), None)
    if name not in frame.columns:
        expected = f"have a column {column or ' or '.join(names)}"
        do = closest(column, frame.columns) if column else hint("Name it: {column=NAME}.")
        raise DataError(say(str(path), expected, frame.columns, do))
    values = frame[name].to_list()
    if any(value is None for value in values):
        at = next(i for i, value in enumerate(values) if value is None)
        raise DataError(say(f"column '{name}'", "have no empty entries", f"one in row {at}"))
    if task == "image":
        values = [path.parent / str(value) for value in values]
    elif not isinstance(values[0], (str, list)):
        raise DataError(say(f"column '{name}'", "hold texts", type(values[0]).__name__))
    has_ids = "id" in frame.columns and frame["id"].n_unique() == frame.height
    return values, as_text(frame["id"].to_list() if has_ids else np.arange(len(values))).tolist()


class _Pictures(Sequence[Any]):
    """Image files that are opened a batch at a time."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return [self[i] for i in range(*key.indices(len(self)))]
        from PIL import Image

        try:
            with Image.open(self.files[key]) as picture:
                return picture.convert("RGB")
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(say(str(self.files[key]), "be a readable image", str(error))) from error
