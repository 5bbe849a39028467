"""Export of a trained network to ONNX, checked before it is put in place."""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from equipoise._core.files import atomic_path
from equipoise._core.messages import say
from equipoise.errors import DataError, MissingExtraError, UsageError

_CLOSE = 1e-3  # of the largest output; float32 sums in another order stay far below it


def export_onnx(
    network: nn.Module,
    example: Tensor | Sequence[Tensor],
    path: str | Path,
    *,
    names: Sequence[str] = (),
) -> Path:
    """Write a network as ONNX, for any number of rows, and check the file.

    The file holds the raw outputs, as :class:`equipoise.Scores` takes them; the decision rule goes
    beside it as JSON. Where onnxruntime is installed the file is run on the example, and on its
    first row, and compared with the network.

    Args:
        network: Maps a batch to outputs (N, C). A copy in eval mode, on the CPU, is exported.
        example: A batch of at least 2 rows as the network takes it, or several tensors for one
            with several inputs; each has the rows on its first axis.
        path: Where to write; an existing file is replaced when the new one is complete.
        names: Of the C outputs, kept in the file's metadata under "names", one per line.

    Returns:
        The path.

    Raises:
        MissingExtraError: onnx or onnxscript are not installed.
        UsageError: fewer than 2 rows, or names that do not match the outputs.
        DataError: the file does not say the same as the network, or the network cannot be
            exported for any number of rows.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "model.onnx"
        >>> export_onnx(nn.Linear(3, 2), torch.zeros(4, 3), file, names=["A", "B"]).name
        'model.onnx'
    """
    onnx = _require("onnx")
    _require("onnxscript")
    inputs = (example,) if isinstance(example, Tensor) else tuple(example)
    inputs = tuple(x.detach().cpu() for x in inputs)
    if not inputs or any(x.ndim < 1 or len(x) < 2 for x in inputs):
        do = "One row alone would be taken for a fixed size."
        raise UsageError(say("example", "hold at least 2 rows", [len(x) for x in inputs], do))
    model = copy.deepcopy(network).cpu().eval()
    with torch.no_grad():
        expected = model(*inputs)
    if names and (expected.ndim != 2 or len(names) != expected.shape[1]):
        do = "Give one name per output."
        raise UsageError(say("names", f"match outputs {tuple(expected.shape)}", len(names), do))
    with atomic_path(path) as temporary:
        _export(model, inputs, temporary)
        made = onnx.load(str(temporary))
        if names:
            onnx.helper.set_model_props(made, {"names": "\n".join(names)})
        onnx.checker.check_model(made, full_check=True)
        onnx.save(made, str(temporary))
        _compare(temporary, model, inputs)
    return Path(path)


def _require(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except (ImportError, RuntimeError) as error:
        raise MissingExtraError(package, "onnx", "export_onnx") from error


def _export(model: nn.Module, inputs: tuple[Tensor, ...], path: Path) -> None:
    batch = torch.export.Dim("batch", min=1)
    called = ["input"] if len(inputs) == 1 else [f"input_{i}" for i in range(len(inputs))]
    with _quiet():
        try:
            torch.onnx.export(
                model,
                inputs,
                str(path),
                input_names=called,
                output_names=["logits"],
                dynamic_shapes=tuple({0: batch} for _ in inputs),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        except Exception as error:
            text = " ".join(str(error).split())[:300]
            do = "Check that it does without Python branches on the values or the number of rows."
            raise DataError(say("network", "be exportable to ONNX", f"'{text}'", do)) from error


def _compare(path: Path, model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Run the file on all rows, and on the first alone, where onnxruntime is installed."""
    try:
        runtime = importlib.import_module("onnxruntime")
    except (ImportError, RuntimeError):
        return
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    called = [node.name for node in session.get_inputs()]
    for rows in (len(inputs[0]), 1):
        part = tuple(x[:rows] for x in inputs)
        (have,) = session.run(None, {n: x.numpy() for n, x in zip(called, part, strict=True)})
        with torch.no_grad():
            want = model(*part).numpy()
        gap = float(np.abs(have - want).max())
        if have.shape != want.shape or gap > _CLOSE * max(1.0, float(np.abs(want).max())):
            do = "Report it with the network."
            raise DataError(say("the ONNX file", "give what the network gives", f"{gap} off", do))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's steps and its notices on torch's own parts to itself."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
