"""Files of weights give named tensors and nothing else: damaged, foreign and malicious ones are refused in one line."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import runs
import torch
from safetensors.torch import save_file

from advisor import registry
from advisor.errors import InputError, WeightsError
from advisor.models import predictor, tensor_files

GOOD = {"a.weight": torch.arange(12.0).reshape(3, 4), "a.bias": torch.ones(3, dtype=torch.float16)}


class Evil:
    """A pickle that would run a command when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (os.system, (f"touch '{self.mark}'",))


@pytest.mark.parametrize("wrapped", [False, True])
def test_torch_files_are_read(tmp_path: Path, wrapped: bool) -> None:
    """Tensors come back as they were saved, also out of the usual {"state_dict": ...}."""
    torch.save({"state_dict": GOOD, "epoch": 3} if wrapped else GOOD, tmp_path / "w.pth")
    tensors = tensor_files.read(tmp_path / "w.pth")
    assert tensors.keys() == GOOD.keys()
    assert all(torch.equal(tensors[n], t) and tensors[n].dtype == t.dtype for n, t in GOOD.items())


def test_safetensors_are_read(tmp_path: Path) -> None:
    """The format without code is read by its suffix."""
    save_file(GOOD, tmp_path / "w.safetensors")
    assert all(torch.equal(t, GOOD[n]) for n, t in tensor_files.read(tmp_path / "w.safetensors").items())


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("damage", ["empty", "head", "half", "tail", "noise"])
def test_damaged_files_are_one_clear_line(tmp_path: Path, suffix: str, damage: str) -> None:
    """Truncated anywhere, empty, or noise: the file is named, and the command that brings it anew."""
    path = tmp_path / f"w.{suffix}"
    save_file(GOOD, path) if suffix == "safetensors" else torch.save(GOOD, path)
    whole = path.read_bytes()
    cuts = {"empty": 0, "head": 5, "half": len(whole) // 2, "tail": len(whole) - 3}
    path.write_bytes(bytes(range(256)) * 4 if damage == "noise" else whole[: cuts[damage]])
    with pytest.raises(WeightsError) as caught:
        tensor_files.read(path, command="tl-advise weights fetch x --again")
    message = str(caught.value)
    assert str(path) in message
    assert "damaged or truncated" in message
    assert "tl-advise weights fetch x --again" in message
    assert "\n" not in message


def test_nothing_in_a_file_is_ever_executed(tmp_path: Path) -> None:
    """Pickles that would run code are refused, plain or inside torch's container, and nothing runs."""
    mark = tmp_path / "it-ran"
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Evil(mark)))
    torch.save({"a": torch.ones(1), "b": Evil(mark)}, tmp_path / "container.pth")
    for name in ("plain.pth", "container.pth"):
        with pytest.raises(WeightsError):
            tensor_files.read(tmp_path / name)
    assert not mark.exists()


@pytest.mark.parametrize("content", [[1, 2], {}, {"a": 3}, {1: torch.ones(1)}, torch.ones(2)])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: object) -> None:
    """Lists, numbers, a bare tensor or an empty file of names are no weights."""
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="not a file of named tensors"):
        tensor_files.read(tmp_path / "w.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(tmp_path: Path, value: float) -> None:
    """A network of NaN would fail much later, and nobody would know why."""
    torch.save({"a": torch.ones(3), "b": torch.tensor([1.0, value])}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="not finite \\(in b\\)"):
        tensor_files.read(tmp_path / "w.pth")


def test_a_missing_file_and_a_zip_of_something_else(tmp_path: Path) -> None:
    """What is not there, or is another archive, is told like any damage."""
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        tensor_files.read(tmp_path / "absent.pth")
    with zipfile.ZipFile(tmp_path / "photos.pth", "w") as archive:
        archive.writestr("photo.txt", "no weights")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        tensor_files.read(tmp_path / "photos.pth")


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_weights_that_are_constant_are_refused(tmp_path: Path, value: float) -> None:
    """A file in which every matrix holds one value is an empty or failed export; one that varies is enough."""
    constant = {"conv.weight": torch.full((4, 3, 3, 3), value), "fc.weight": torch.ones(2, 4), "fc.bias": torch.rand(2)}
    save_file(constant, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="every matrix in it is constant"):
        tensor_files.read(tmp_path / "w.safetensors")
    save_file({**constant, "fc.weight": torch.arange(8.0).view(2, 4)}, tmp_path / "w.safetensors")
    assert tensor_files.read(tmp_path / "w.safetensors").keys() == constant.keys()


@pytest.mark.parametrize(("head", "classes"), [("linear", ["a", "b"]), ("linear", [*"abcd"]), ("knn", ["a", "b"])])
def test_a_head_has_an_output_for_every_class(head: str, classes: list[str], tmp_path: Path) -> None:
    """Names that were removed or added by hand are refused: answers would have other names, or none."""
    run = runs.make(tmp_path, "pocket", head=head)
    description = json.loads((run / "model.json").read_text(encoding="utf-8"))
    (run / "model.json").write_text(json.dumps({**description, "classes": classes}), encoding="utf-8")
    with pytest.raises(InputError, match="classes: expected 3 names, one for each output of the head"):
        predictor.load(run, registry.load())
