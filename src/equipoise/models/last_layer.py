"""Find the layer of a network that is really executed last, and put another in its place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from equipoise._core.messages import say
from equipoise.errors import UsageError
from equipoise.models._torch import cuda_devices
from equipoise.models.head import CosineHead, require_sizes

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def find_last_layer(model: nn.Module, example_input: Any) -> str:
    """Return the name of the linear, cosine or 1x1 convolution layer that is executed last.

    Use it for the bias of the last layer: ``model.get_submodule(find_last_layer(model, x))``. The
    order of registration and the names do not matter: the model is run once.

    Args:
        model: Left as it is: mode, buffers and random state are put back.
        example_input: A batch as the model takes it, one row is enough. A tuple is one argument.

    Raises:
        UsageError: the model does not run on it, or has no such layer.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2), nn.Flatten())
        >>> find_last_layer(net, torch.zeros(1, 4))
        '2'
    """
    names = {id(m): name for name, m in model.named_modules() if _is_last_layer(m)}
    called: list[str] = []
    hooks = [
        m.register_forward_hook(lambda module, *_: called.append(names[id(module)]))
        for m in model.modules()
        if id(m) in names
    ]
    try:
        run_once(model, example_input)
    finally:
        for hook in hooks:
            hook.remove()
    if not called:
        do = "Replace its last layer by hand."
        got = f"none among {sum(1 for _ in model.modules())} modules"
        raise UsageError(say("model", "execute a linear or 1x1 convolution layer", got, do))
    return called[-1]


def replace_head(
    model: nn.Module,
    num_outputs: int,
    *,
    example_input: Any,
    cosine: bool = False,
    scale: float = 1.0,
) -> nn.Module:
    """Give a network another last layer, and keep everything else.

    The new layer has a bias where the old one had, its device and dtype, and torch's random
    initialisation. It is tried out, and the old one put back if the outputs are not as asked for.

    Args:
        model: Changed in place.
        num_outputs: Classes or labels.
        example_input: A batch as the model takes it; see :func:`find_last_layer`.
        cosine: Put a :class:`CosineHead` there.
        scale: Factor on its cosines.

    Returns:
        The model; where it is a single layer itself, the new layer.

    Raises:
        UsageError: there is no such layer, a 1x1 convolution was to become cosines, or with the
            new layer the model does not return (N, num_outputs).

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> replace_head(net, 5, example_input=torch.zeros(1, 4))[2]
        Linear(in_features=3, out_features=5, bias=True)
    """
    require_sizes({"num_outputs": num_outputs})
    last = find_last_layer(model, example_input)
    old = model.get_submodule(last)
    new = _like(old, num_outputs, cosine=cosine, scale=scale)
    if not last:
        return new
    # The same layer may be registered under several names.
    places = [name for name, m in model.named_modules(remove_duplicate=False) if m is old]
    _put(model, places, new)
    try:
        outputs = run_once(model, example_input)
        shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
    except UsageError as error:
        shape = str(error)
    if not isinstance(shape, tuple) or len(shape) != 2 or shape[1] != num_outputs:
        _put(model, places, old)
        do = f"'{last}' was executed last, but is not its head; replace the head by hand."
        raise UsageError(say("model", f"return (N, {num_outputs}) then", shape, do))
    return model


def run_once(model: nn.Module, example_input: Any) -> Any:
    """Run a model in eval mode and leave no trace: modes, buffers, random state."""
    with torch.no_grad(), _kept(model):
        try:
            return model(example_input)
        except Exception as error:
            got = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
            do = "Pass an input of the form that the model is made for."
            raise UsageError(say("example_input", "run through the model", got, do)) from error


@contextmanager
def _kept(model: nn.Module) -> Iterator[None]:
    modes = [(m, m.training) for m in model.modules()]
    buffers = [(b, b.clone()) for b in model.buffers()]
    with torch.random.fork_rng(devices=cuda_devices()):
        model.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode
            for buffer, before in buffers:
                buffer.copy_(before)


def _is_last_layer(module: nn.Module) -> bool:
    if isinstance(module, _CONVOLUTIONS):
        return set(module.kernel_size) == {1} and module.groups == 1
    return isinstance(module, (nn.Linear, CosineHead))


def _like(old: nn.Module, num_outputs: int, *, cosine: bool, scale: float) -> nn.Module:
    weight = old.weight
    if not isinstance(weight, Tensor):
        raise UsageError(say("model", "have a weight in its last layer", type(old).__name__))
    inputs, bias = int(weight.shape[1]), getattr(old, "bias", None) is not None
    new: nn.Module
    if isinstance(old, _CONVOLUTIONS):
        if cosine:
            do = "Cosines need one vector of features per row."
            raise UsageError(say("model", "end in a linear layer for cosine=True", old, do))
        kind = next(c for c in _CONVOLUTIONS if isinstance(old, c))
        new = kind(inputs, num_outputs, 1, stride=old.stride, bias=bias)  # type: ignore[arg-type]
    elif cosine:
        new = CosineHead(inputs, num_outputs, scale=scale)
    else:
        new = nn.Linear(inputs, num_outputs, bias=bias or isinstance(old, CosineHead))
    new.train(old.training)
    return new.to(device=weight.device, dtype=weight.dtype)


def _put(model: nn.Module, places: list[str], layer: nn.Module) -> None:
    for place in places:
        parent, _, name = place.rpartition(".")
        setattr(model.get_submodule(parent), name, layer)
