"""Weights from elsewhere: safetensors and tensors alone, a report, and nothing pickled."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from equipoise.errors import DataError, ShapeError
from equipoise.models import MLP, LoadReport, load_weights


class Surprise:
    """What a pickle can do."""

    ran = False

    def __reduce__(self) -> tuple:
        return (setattr, (Surprise, "ran", True))


def state(outputs: int = 3) -> dict[str, Tensor]:
    torch.manual_seed(outputs)
    return MLP(4, outputs, hidden=(5,)).state_dict()


def same(net: nn.Module, wanted: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, wanted[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("form", ["safetensors", "torch", "misnamed", "legacy"])
@pytest.mark.parametrize("wrap", ["plain", "module", "lightning"])
def test_a_round_trip_copies_every_tensor(tmp_path: Path, form: str, wrap: str) -> None:
    saved = state()
    prefix = {"plain": "", "module": "module.", "lightning": "model."}[wrap]
    content = {prefix + name: value for name, value in saved.items()}
    path = tmp_path / ("weights.pt" if form == "misnamed" else "weights.any")
    if form in ("torch", "legacy"):
        whole = {"epoch": 3, "state_dict": content} if wrap == "lightning" else content
        torch.save(whole, path, _use_new_zipfile_serialization=form == "torch")
    else:
        save_file(content, path)
    net = MLP(4, 3, hidden=(5,))
    report = load_weights(net, path)
    assert report == LoadReport(tuple(saved), (), (), {})
    assert same(net, saved)


def test_a_head_of_another_width_is_left_out_on_request(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(state(7), path)
    net = MLP(4, 3, hidden=(5,))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(ShapeError, match=r"head.weight \(7, 5\) for \(3, 5\).*skip_mismatched"):
        load_weights(net, path)
    assert same(net, before)
    report = load_weights(net, path, skip_mismatched=True)
    assert report.mismatched == {"head.weight": ((7, 5), (3, 5)), "head.bias": ((7,), (3,))}
    assert report.loaded == ("body.1.weight", "body.1.bias")
    assert torch.equal(net.body[1].weight, state(7)["body.1.weight"])
    assert torch.equal(net.head.weight, before["head.weight"])
    assert str(report).startswith("2 loaded, 0 missing, 0 unexpected, 2 of another shape")


def test_missing_and_unexpected_names_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    saved = state()
    saved["extra.weight"] = torch.ones(2)
    del saved["head.bias"]
    save_file(saved, path)
    net = MLP(4, 3, hidden=(5,))
    with pytest.raises(DataError, match=r"1 missing: head\.bias, 1 unexpected: extra\.weight"):
        load_weights(net, path)
    report = load_weights(net, path, strict=False)
    assert (report.missing, report.unexpected) == (("head.bias",), ("extra.weight",))


def test_half_precision_is_taken_up_and_old_files_without_counters_load(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    saved = {k: v.half() for k, v in net.state_dict().items() if "tracked" not in k}
    save_file(saved, path)
    assert load_weights(net, path).missing == ()
    assert net[0].weight.dtype == torch.float32


def test_tied_weights_stand_in_the_file_once(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    net[1].weight = net[0].weight
    path = tmp_path / "w.safetensors"
    save_file({"0.weight": torch.eye(2)}, path)
    assert load_weights(net, path).missing == ()
    assert torch.equal(net[1].weight, torch.eye(2))


@pytest.mark.parametrize("legacy", [False, True])
def test_pickled_objects_are_refused_and_not_run(tmp_path: Path, legacy: bool) -> None:
    path = tmp_path / "w.pt"
    torch.save({"a": Surprise()}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(DataError, match="must hold tensors alone, got pickled objects in"):
        load_weights(nn.Linear(2, 2), path)
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(DataError, match="must hold tensors alone") as caught:
        load_weights(nn.Linear(2, 2), path)
    assert "\n" not in str(caught.value)
    assert not Surprise.ran


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "be safetensors or a file of torch.save"),
        (b"not weights at all, just text", "be safetensors or a file of torch.save"),
        (b"\x40\x00\x00\x00\x00\x00\x00\x00{broken", "be safetensors or a file of torch.save"),
        (b"PK\x03\x04 cut off", "be safetensors or a file of torch.save"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "w"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_weights(nn.Linear(2, 2), path)
    assert "\n" not in str(caught.value)


def test_what_is_no_state_dict_of_this_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    with pytest.raises(DataError, match="There is none"):
        load_weights(nn.Linear(2, 2), path)
    torch.save([torch.ones(2)], path)
    with pytest.raises(DataError, match="must hold a state dict, got list"):
        load_weights(nn.Linear(2, 2), path)
    torch.save({"weight": torch.ones(2, 2), "epoch": 3}, path)
    with pytest.raises(DataError, match=r"other things in .*: epoch"):
        load_weights(nn.Linear(2, 2), path)
    torch.save({"conv.weight": torch.ones(2)}, path)
    with pytest.raises(DataError, match=r"hold weights of this model.*Is it of another network"):
        load_weights(nn.Linear(2, 2), path, strict=False)
