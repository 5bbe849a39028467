"""New rows through a finished trial: network, inverse, calibration and thresholds."""

from __future__ import annotations

import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import ConcatDataset, Dataset

from equipoise._core.files import atomic_path
from equipoise._core.identity import as_text
from equipoise._core.messages import Message, hint, say
from equipoise.artifacts import DecisionRule, Scores, Trial
from equipoise.data import make_loader, seed_worker
from equipoise.errors import DataError, DataWarning, UsageError
from equipoise.export import append_rule, make_program
from equipoise.models import export_onnx, load_weights
from equipoise.studies.apply_file import Applied, apply_file
from equipoise.studies.network_model import build_again
from equipoise.studies.network_rows import TrainRows, open_rows
from equipoise.studies.schema import parse_study
from equipoise.training.devices import choose_device

Progress = Callable[[int, int], None]


def predict_files(
    trial: str | Path,
    paths: Sequence[str],
    out: str | Path,
    *,
    table: str | None = None,
    rule: str | Path | None = None,
    batch_size: int = 64,
    num_workers: int = 0,
    device: str = "auto",
    allow_code: bool = False,
    progress: Progress | None = None,
) -> Applied:
    """Write calibrated probabilities and decisions for new rows.

    Args:
        trial: Folder that ``equipoise train`` wrote.
        paths: Data of the form that it was trained on: tables of image paths, Parquet of image
            bytes, a folder of images, feature tables, .npy or .npz. Labels are not needed.
        out: Parquet or CSV: "id", ``probability:NAME`` and decisions.
        table: Offsets of sequences given as .npy, as ``data.offsets`` of the study.
        rule: Another rule than the trial's rule.json.
        batch_size: Rows at once.
        num_workers: Processes that load data.
        device: "auto", "cpu", "cuda", "mps".
        allow_code: Whether a network given as "module:callable" may run.
        progress: Called with rows done and rows in all.

    Raises:
        DataError: the folder holds no finished trial of ``equipoise train``, or no rule.
        UsageError: code that is not allowed.
    """
    folder = Path(trial)
    if not folder.is_dir():
        raise DataError(say(str(folder), "be the folder of a model or a trial", "nothing there"))
    chosen = folder / "rule.json" if rule is None else Path(rule)
    if not chosen.is_file():
        do = _to_tune(folder)
        raise DataError(say(str(chosen), "be a rule", "nothing there", do))
    loaded = DecisionRule.load(chosen)
    scores = predict_scores(
        folder,
        paths,
        table=table,
        batch_size=batch_size,
        num_workers=num_workers,
        device=device,
        allow_code=allow_code,
        progress=progress,
    )
    with tempfile.TemporaryDirectory() as place:
        file = scores.save(Path(place, "new.parquet"))
        return apply_file(loaded, file, out)


def _to_tune(folder: Path) -> Message:
    """Return how a rule comes about for a trial, from the scores that it has."""
    for part in ("val", "oof"):
        if (folder / f"{part}.parquet").is_file():
            tune = f"Tune one: equipoise tune {folder / part}.parquet -o rule.json, and pass "
            return Message(tune, hint("{rule=rule.json}."))
    return hint("It holds no validation scores to tune one on: pass {rule=rule.json} of another.")


def predict_scores(
    trial: str | Path,
    paths: Sequence[str],
    *,
    table: str | None = None,
    batch_size: int = 64,
    num_workers: int = 0,
    device: str = "auto",
    allow_code: bool = False,
    progress: Progress | None = None,
) -> Scores:
    """Return a finished trial's outputs on new rows, with its correction; see `predict_files`."""
    network, build, done = load_network(Path(trial), allow_code)
    dataset, ids, collate = _rows(build, paths, table)
    outputs = run_network(network, dataset, collate, device, batch_size, num_workers, progress)
    known = done.scores["val"]
    values: dict[str, Any] = {known.score_kind: outputs}
    return Scores.from_arrays(
        None,
        **values,
        split="new",
        kind=known.kind,
        names=known.names,
        ids=ids,
        correction=known.correction,
        check_kind=False,
    )


def export_trial(
    trial: str | Path,
    out: str | Path | None = None,
    *,
    rule: DecisionRule | None = None,
    by_row: bool = False,
    allow_code: bool = False,
) -> Path:
    """Write a finished trial's network as ONNX, with a rule behind it if one is given.

    Args:
        trial: Folder that ``equipoise train`` wrote.
        out: File to write; model.onnx beside the weights, if not given.
        rule: Goes into the graph, in float64, which then puts out "probabilities" and "decisions"
            as :func:`equipoise.export.append_rule` says. Without one it puts out logits.
        by_row: As in :func:`equipoise.export.export_rule`.
        allow_code: Whether a network given as "module:callable" may run.

    Returns:
        The file.

    Raises:
        DataError: as :func:`predict_scores`, a network that ONNX cannot hold, or a rule of another.
        UsageError: a network of sequences, which are packed: ONNX has nothing of the kind. Or a
            rule that ONNX cannot hold.
        MissingExtraError: onnx or onnxscript is not installed.
    """
    folder = Path(trial)
    network, build, done = load_network(folder, allow_code)
    if build["data"]["source"] == "sequences":
        do = "Predict with `equipoise predict`."
        raise UsageError(say("onnx", "be for images and tables", "packed sequences", do))
    x, names = torch.zeros(2, *build["input_shape"]), build["names"]
    target = folder / "model.onnx" if out is None else Path(out)
    if rule is None:
        return export_onnx(network, x, target, names=names)
    known = done.scores["val"]
    if known.score_kind == "probabilities":
        do = "Export the network alone with `equipoise train --onnx`."
        got = "a network whose loss is undone outside the rule"
        raise UsageError(say("onnx", "hold what leads from logits to probabilities", got, do))
    rule.align(known[:1])  # the rule is for this network: names, kind of scores and correction
    program = make_program(rule, score_kind=known.score_kind, by_row=by_row)
    with tempfile.TemporaryDirectory() as place:
        alone = export_onnx(network, x, Path(place, "network.onnx"), names=names)
        whole = append_rule(alone.read_bytes(), program, names)
    with atomic_path(target) as temporary:
        temporary.write_bytes(whole)
    return target


def load_network(folder: Path, allow_code: bool) -> tuple[torch.nn.Module, dict[str, Any], Trial]:
    """Return the network of a finished trial with its weights, how it is built, and the trial."""
    done = Trial.load(folder)
    build = done.config.get("build")
    if build is None or done.model_file is None:
        do = (
            "A trial of `fit` in Python holds weights, not how the network is made: load "
            "model.safetensors into it, and `apply` the rule to its outputs."
        )
        raise DataError(say(str(folder), "be a trial of `equipoise train`", done.method, do))
    network = build_again(build, allow_code=allow_code)
    load_weights(network, folder / done.model_file)
    return network, build, done


def _rows(
    build: dict[str, Any], paths: Sequence[str], table: str | None
) -> tuple[Dataset[Any], NDArray[Any], Any]:
    data = dict(build["data"])
    if data["source"] in _READ_AS:
        data = {"source": _READ_AS[data["source"]]}
    if table is not None:
        data["offsets"] = table
    draft = parse_study(
        {"data": {**data, "path": paths[0], **_unread(data)}, "model": build["model"]},
        "trial",
        verb="train",
    )
    parts: list[TrainRows] = [
        open_rows(draft.data, path, labelled=False, columns=build["columns"]) for path in paths
    ]
    ids = np.concatenate([as_text(np.arange(_size(p)) if p.ids is None else p.ids) for p in parts])
    twice = len(ids) - len(np.unique(ids))
    if twice:
        # Files of rows without ids all count from 0, which is no fault; ids that repeat are.
        counted = [
            p.ids is None or np.array_equal(as_text(p.ids), as_text(np.arange(_size(p))))
            for p in parts
        ]
        if not all(counted):
            first = next(i for i, n in Counter(ids.tolist()).items() if n > 1)
            warnings.warn(
                f"{twice} ids repeat (first: {first!r}), so rows are numbered from 0 in the order "
                "of the files.",
                DataWarning,
                stacklevel=2,
            )
        ids = as_text(np.arange(len(ids)))
    joined = parts[0].dataset if len(parts) == 1 else ConcatDataset([p.dataset for p in parts])
    return joined, ids, parts[0].collate


_READ_AS = {
    "digits": "arrays",
    "digit_mosaics": "arrays",
    "made_table": "arrays",
    "archive": "arrays",
    "made_sequences": "sequences",
    "piano_rolls": "sequences",
    "object_mosaics": "image_folder",
}
"""Form of new rows for networks of rows that were made, or that came out of an archive."""


def _unread(data: dict[str, Any]) -> dict[str, str]:
    """Return what the schema demands and prediction does not read."""
    return {"table": "-"} if data["source"] in ("sequences", "arrays") else {}


def _size(rows: TrainRows) -> int:
    return len(rows.dataset)  # type: ignore[arg-type]


def run_network(
    network: torch.nn.Module,
    dataset: Dataset[Any],
    collate: Any,
    device: str,
    batch_size: int,
    num_workers: int,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """Return the outputs of a network on all items, (N, C), in eval mode."""
    where = choose_device(device)
    network = network.to(where).eval()
    total = len(dataset)  # type: ignore[arg-type]
    loader = make_loader(
        dataset,
        range(total),
        batch_size,
        num_workers=num_workers,
        collate=collate,
        worker_init_fn=seed_worker,
        generator=torch.Generator(),
    )
    parts, done = [], 0
    for batch in loader:
        x = to_device(batch[0], where)
        with torch.no_grad():
            parts.append(network(x).double().cpu().numpy())
        done += len(parts[-1])
        if progress is not None:
            progress(done, total)
    return np.concatenate(parts)


def to_device(x: Any, device: torch.device) -> Any:
    """Return a tensor, or a tuple of tensors, on a device."""
    if isinstance(x, (tuple, list)):
        return tuple(to_device(part, device) for part in x)
    return x.to(device)
