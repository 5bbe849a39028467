"""Export to ONNX: the file says what the network says, for any number of rows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from equipoise.errors import DataError, MissingExtraError, UsageError
from equipoise.models import MLP, ResNet32
from equipoise.models.onnx_export import export_onnx

X = torch.linspace(-1, 1, 20).reshape(4, 5)


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_what_is_missing_is_named(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", object())  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"`{package}`.*equipoise\[onnx\]"):
        export_onnx(MLP(5, 3), X, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


class Two(nn.Module):
    """Takes two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(7, 2)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.last(torch.cat([a, b], 1))


class Branching(nn.Module):
    """Decides by the values of a batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def compare(
    net: nn.Module, inputs: tuple[Tensor, ...], run: Callable[..., Any], names: list[str]
) -> None:
    """The exported network says what the network says, for several numbers of rows."""
    for rows in (1, 2, 7):
        part = [torch.cat([x] * 4)[:rows] for x in inputs]
        have = run({name: x.numpy() for name, x in zip(names, part, strict=True)})
        with torch.no_grad():
            np.testing.assert_allclose(have, net.eval()(*part).numpy(), rtol=1e-5, atol=1e-4)


class TestWithOnnx:
    def test_a_file_for_any_number_of_rows_with_names(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        import onnx

        net = MLP(5, 3, hidden=(6,), dropout=0.5)
        before = {k: v.clone() for k, v in net.state_dict().items()}
        path = export_onnx(net, X, tmp_path / "deep" / "m.onnx", names=["a", "b c", "d"])
        assert capfd.readouterr() == ("", "")
        assert net.training
        assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
        assert [p.name for p in path.parent.iterdir()] == ["m.onnx"]
        made = onnx.load(str(path))
        props = {p.key: p.value for p in made.metadata_props}
        assert props["names"].split("\n") == ["a", "b c", "d"]
        for value, name, width in (
            (made.graph.input, "input", 5),
            (made.graph.output, "logits", 3),
        ):
            shape = value[0].type.tensor_type.shape.dim
            assert (value[0].name, shape[1].dim_value) == (name, width)
            assert shape[0].dim_param  # a name, not a number

    @pytest.mark.parametrize(
        ("net", "inputs"),
        [(MLP(5, 3, hidden=(6,), dropout=0.5), (X,)), (Two(), (X, X[:, :2]))],
    )
    def test_it_computes_the_same(
        self, net: nn.Module, inputs: tuple[Tensor, ...], tmp_path: Path
    ) -> None:
        from onnx.reference import ReferenceEvaluator

        path = export_onnx(net, inputs, tmp_path / "m.onnx")
        session = ReferenceEvaluator(str(path))
        compare(net, inputs, lambda fed: session.run(None, fed)[0], session.input_names)

    @pytest.mark.slow
    def test_a_runtime_computes_the_same(self, tmp_path: Path) -> None:
        onnxruntime = pytest.importorskip("onnxruntime")
        x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        net = ResNet32(4)
        path = export_onnx(net, x, tmp_path / "m.onnx")
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names = [given.name for given in session.get_inputs()]
        compare(net, (x,), lambda fed: session.run(None, fed)[0], names)

    def test_what_cannot_be_exported_leaves_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "m.onnx"
        with pytest.raises(DataError, match="exportable to ONNX"):
            export_onnx(Branching(), X, path)
        with pytest.raises(UsageError, match="at least 2 rows"):
            export_onnx(MLP(5, 3), X[:1], path)
        with pytest.raises(UsageError, match="one name per output"):
            export_onnx(MLP(5, 3), X, path, names=["a"])
        assert list(tmp_path.iterdir()) == []
