"""Features of a frozen network: computed once, kept as a memory map that its inputs name."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, Dataset, default_collate

from equipoise._core.files import write_text
from equipoise._core.fingerprint import digest, fingerprint_array, fingerprint_config
from equipoise._core.locks import Locks
from equipoise._core.messages import say
from equipoise._core.progress import Progress
from equipoise.data import make_loader, seed_worker
from equipoise.errors import DataError, UsageError
from equipoise.models import ScaledInputs, find_last_layer, make_model
from equipoise.studies.network_model import IMAGENET
from equipoise.studies.network_rows import TrainRows
from equipoise.studies.predict import load_network, to_device
from equipoise.studies.schema import FeatureSpec
from equipoise.training.devices import choose_device

_SAMPLED = 256
_OUTPUTS = 2  # of a network by name; its last layer is not used
_SAVE_SECONDS = 5.0
_POLL_SECONDS = 0.5


@dataclass(frozen=True, eq=False)
class Backbone:
    """A frozen network up to what its last layer reads.

    Args:
        network: In eval mode, on its device.
        layer: Name of the layer whose input is taken.
        device: Where it is.
        name: What it is, in a few words.
        fingerprint: 16 hex digits of its weights.
        build: How it is made again, for ``build_again``.
    """

    network: nn.Module
    layer: str
    device: torch.device
    name: str
    fingerprint: str
    build: Mapping[str, Any]

    @torch.no_grad()
    def __call__(self, x: Any) -> NDArray[np.float32]:
        """Return the features of a batch, (B, D)."""
        seen: list[Tensor] = []
        layer = self.network.get_submodule(self.layer)
        hook = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        try:
            self.network(to_device(x, self.device))
        finally:
            hook.remove()
        return np.asarray(seen[-1].flatten(1).float().cpu().numpy())


def open_backbone(
    rows: TrainRows, spec: FeatureSpec, *, device: str = "auto", allow_code: bool = False
) -> Backbone:
    """Return the network that a study takes features from.

    Args:
        rows: What it will read.
        spec: The part ``features`` of the study.
        device: "auto", "cpu", "cuda" or "mps".
        allow_code: Whether a network given as "module:callable" may run.

    Raises:
        UsageError: neither or both of trial and model, an unknown model or layer.
        DataError: a folder without a finished trial, or weights that do not fit.
    """
    if (spec.trial is None) == (spec.model is None):
        got = "both" if spec.trial else "neither"
        do = "Take a folder of `equipoise train`, or a model's name with its weights."
        raise UsageError(say("features", "name a trial or a model", got, do))
    if spec.trial is not None:
        network, build, done = load_network(Path(spec.trial), allow_code)
        build = {"outputs": len(build["names"]), **build}
        name = f"{build['model']['name']} ({done.method}, seed {done.seed})"
    else:
        network, build, name = _by_name(rows, spec, allow_code)
    batch = _first(rows)
    layer = spec.layer or find_last_layer(network, batch)
    if spec.layer is not None and spec.layer not in dict(network.named_modules()):
        known = [n for n, _ in network.named_modules() if n]
        raise UsageError(say("features.layer", "be a layer", spec.layer, f"Last: {known[-3:]}."))
    where = choose_device(device)
    state = network.state_dict().values()
    weights = fingerprint_array(*(w.detach().cpu().numpy() for w in state))
    return Backbone(network.to(where).eval(), layer, where, name, weights, build)


_BEGIN = ("weights", "pretrained")


def _by_name(
    rows: TrainRows, spec: FeatureSpec, allow_code: bool
) -> tuple[nn.Module, dict[str, Any], str]:
    """Return a network by name, how it is made again, and what it is called."""
    network = make_model(
        spec.model or "",
        _OUTPUTS,
        input_shape=rows.input_shape,
        weights=spec.weights,
        settings=spec.settings,
        seed=0,
        allow_code=allow_code,
    )
    first, width = rows.dataset[0][0], 0
    if spec.scale_inputs == "imagenet":
        network, width = ScaledInputs(network, *IMAGENET, axis=rows.axis), len(IMAGENET[0])
    elif first.dtype == torch.uint8:
        width = int(first.shape[0])
        network = ScaledInputs(network, [0.0] * width, [1.0] * width, axis=rows.axis)
    given = spec.weights or any(k in spec.settings for k in _BEGIN)
    # Made again, it is given the weights that it has here.
    settings = {key: value for key, value in spec.settings.items() if key not in _BEGIN}
    build = {
        "model": {"name": spec.model, "settings": settings},
        "head": "linear",
        "outputs": _OUTPUTS,
        "input_shape": list(rows.input_shape),
        "axis": rows.axis,
        "scaled": width,
        "columns": None if rows.columns is None else list(rows.columns),
    }
    return network, build, f"{spec.model}{'' if given else ' with random weights'}"


def _first(rows: TrainRows) -> Any:
    return (rows.collate or default_collate)([rows.dataset[0]])[0]


def stand_in(
    rows: TrainRows, backbone: Backbone, spec: FeatureSpec
) -> tuple[NDArray[np.float32], float]:
    """Return what to plan with, and about how many seconds the real features take.

    The array is all 0, of the right shape, and takes no memory.
    """
    n = _size(rows)
    some = range(min(n, spec.batch_size))
    begun = time.perf_counter()
    batch = (rows.collate or default_collate)([rows.dataset[i] for i in some])[0]
    width = backbone(batch).shape[1]
    seconds = (time.perf_counter() - begun) * n / len(some)
    return np.broadcast_to(np.zeros(width, dtype=np.float32), (n, width)), seconds


def features_of(
    rows: TrainRows,
    backbone: Backbone,
    spec: FeatureSpec,
    root: Path,
    *,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Return the features of all rows as a memory map, computed unless they are there.

    What was computed before an interruption is kept; several runners compute them once.

    Args:
        rows: Inputs and labels.
        backbone: From :func:`open_backbone`.
        spec: Batch size and worker processes.
        root: Folder of the maps.
        progress: Called with (what, rows done, rows in all).

    Returns:
        (N, D) float32, read-only.
    """
    whole = features_file(rows, backbone, spec, root)
    key = whole.stem
    locks = Locks(root / "locks")
    with locks.released():
        while not whole.is_file():
            if locks.claim(key):
                if not whole.is_file():
                    _compute(rows, backbone, spec, whole, locks, progress)
                locks.release(key)
            else:
                time.sleep(_POLL_SECONDS)
    found: NDArray[np.float32] = np.load(whole, mmap_mode="r", allow_pickle=False)
    return found


def features_file(rows: TrainRows, backbone: Backbone, spec: FeatureSpec, root: Path) -> Path:
    """Return the file of these features, whether it is there or not: what decides them names it."""
    key = fingerprint_config(
        {
            "inputs": _content(rows.dataset),
            "shape": list(rows.input_shape),
            "weights": backbone.fingerprint,
            "layer": backbone.layer,
            "scale_inputs": spec.scale_inputs,
            "batch_size": spec.batch_size,
            "device": backbone.device.type,
        }
    )
    return root / f"{key}.npy"


def _compute(
    rows: TrainRows,
    backbone: Backbone,
    spec: FeatureSpec,
    whole: Path,
    locks: Locks,
    progress: Progress | None,
) -> None:
    part, state = whole.with_suffix(".part.npy"), whole.with_suffix(".json")
    n, width = _size(rows), backbone(_first(rows)).shape[1]
    done = _done(part, state, (n, width))
    whole.parent.mkdir(parents=True, exist_ok=True)
    mode = "r+" if done else "w+"
    kept: Any = np.lib.format.open_memmap(part, mode=mode, dtype=np.float32, shape=(n, width))
    loader = make_loader(
        rows.dataset,
        range(done, n),
        spec.batch_size,
        num_workers=spec.num_workers,
        collate=rows.collate,
        worker_init_fn=seed_worker,
        generator=torch.Generator(),
    )
    saved = time.monotonic()
    for batch in loader:
        found = backbone(batch[0])
        if not np.isfinite(found).all():
            do = "Scale the inputs as the network was trained, or take other weights."
            raise DataError(say(f"features of rows from {done}", "be finite", "NaN or inf", do))
        kept[done : done + len(found)] = found
        done += len(found)
        if progress is not None:
            progress(f"features of {backbone.name}", done, n)
        if time.monotonic() - saved > _SAVE_SECONDS:
            locks.touch()
            kept.flush()
            write_text(state, json.dumps({"done": done}))
            saved = time.monotonic()
    kept.flush()
    del kept
    part.replace(whole)
    state.unlink(missing_ok=True)


def _done(part: Path, state: Path, shape: tuple[int, int]) -> int:
    """Return how many rows an interrupted computation has left."""
    try:
        kept = np.load(part, mmap_mode="r", allow_pickle=False)
        done = int(json.loads(state.read_text(encoding="utf-8"))["done"])
    except (OSError, ValueError, KeyError, EOFError):
        return 0
    return done if kept.shape == shape and done <= shape[0] else 0


def _size(rows: TrainRows) -> int:
    return len(rows.dataset)  # type: ignore[arg-type]


def _content(dataset: Dataset[Any]) -> Any:
    """Return what names the inputs: a data set's own fingerprint, or that of some items."""
    if isinstance(dataset, ConcatDataset):
        return [_content(part) for part in dataset.datasets]
    own = getattr(dataset, "fingerprint", None)
    if own is not None:
        return own
    n = len(dataset)  # type: ignore[arg-type]
    places = np.unique(np.linspace(0, n - 1, min(n, _SAMPLED)).astype(int))
    items = [np.ascontiguousarray(_array(dataset[int(i)][0])) for i in places]
    return [n, digest(b"".join(item.tobytes() for item in items))[:16]]


def _array(x: Any) -> NDArray[Any]:
    return np.asarray(x[0] if isinstance(x, (tuple, list)) else x)
