"""The two files of a model: written whole or not at all, read strictly."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from advisor.errors import InputError, OutputError, WeightsError
from advisor.models import model_files
from advisor.runtime.run_dir import NOVELTY

DESCRIPTION = {
    "schema": 1,
    "classes": ["a", "b \udcff"],
    "backbone": "small",
    "layers": "last",
    "head": "linear",
    "preprocess": {
        "size_px": 12,
        "resize_px": 16,
        "interpolation": "bilinear",
        "fit": "crop",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.2, 0.2, 0.2],
    },
    "temperature": 1,
    "weights_sha256": "0" * 64,
}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Tensors of any type and descriptions with any text, a name that is no UTF-8 included, come back equal."""
    tensors = {"a": torch.arange(6.0).view(2, 3).half(), "n": torch.tensor(7), "e": torch.zeros(0, 4)}
    model_files.write_tensors(tmp_path / "model.safetensors", tensors)
    again = model_files.read_tensors(tmp_path / "model.safetensors")
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[n], tensors[n]) and again[n].dtype == tensors[n].dtype for n in tensors)
    model_files.write_description(tmp_path / "model.json", DESCRIPTION)
    assert model_files.read_description(tmp_path / "model.json") == DESCRIPTION
    assert json.loads((tmp_path / "model.json").read_bytes().decode("utf-8")) == DESCRIPTION


def test_a_write_that_fails_keeps_what_was_there(tmp_path: Path) -> None:
    """A full disk half-way is one line; the old file stands and nothing temporary is left."""
    path = tmp_path / "model.json"
    model_files.write_description(path, DESCRIPTION)
    before = path.read_bytes()

    def full(part: Path) -> None:
        part.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        model_files.write(path, full)
    with pytest.raises(OutputError, match="cannot be written"):
        model_files.write_description(tmp_path / "nowhere" / "model.json", DESCRIPTION)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.json"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_place_is_one_line(tmp_path: Path) -> None:
    """A directory without write permission is told with the way out."""
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="--out"):
            model_files.write_description(tmp_path / "model.json", DESCRIPTION)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("name", [n for n in DESCRIPTION if n != "schema"])
def test_every_field_must_be_there_and_of_its_type(name: str, tmp_path: Path) -> None:
    """A field that is missing, or that has a wrong type, is named with what was expected."""
    path = tmp_path / "model.json"
    path.write_text(json.dumps({k: v for k, v in DESCRIPTION.items() if k != name}))
    with pytest.raises(InputError, match=f"{name} is missing"):
        model_files.read_description(path)
    path.write_text(json.dumps({**DESCRIPTION, name: None}))
    with pytest.raises(InputError, match=f"{name}: expected .*, got null"):
        model_files.read_description(path)


def test_foreign_files_are_told(tmp_path: Path) -> None:
    """A list, another schema, no JSON, a missing file, and tensors that are no safetensors are one line each."""
    path = tmp_path / "model.json"
    for text, said in (("[]", "not a model description"), ('{"schema": 9}', "schema 1"), ("{", "cannot be read")):
        path.write_text(text)
        with pytest.raises(InputError, match=said):
            model_files.read_description(path)
    path.unlink()
    with pytest.raises(InputError, match="holds no"):
        model_files.read_description(path)
    with pytest.raises(InputError, match="is missing"):
        model_files.read_tensors(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").write_bytes(b"PK pickles and other things")
    with pytest.raises(WeightsError, match="is damaged"):
        model_files.read_tensors(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("classes", []),
        ("classes", ["cat", "cat"]),
        ("classes", ["cat", 3]),
        ("temperature", 0),
        ("temperature", 1e300),
        ("temperature", 1e-300),
        ("temperature", float("nan")),
        ("temperature", True),
        ("head", ""),
        ("weights_sha256", "z" * 64),
        ("mirror", "yes"),
        ("preprocess.size_px", 10**9),
        ("preprocess.size_px", 0),
        ("preprocess.resize_px", 1.5),
        ("preprocess.interpolation", "magic"),
        ("preprocess.fit", "stretch"),
        ("preprocess.mean", [0.5, 0.5]),
        ("preprocess.std", [0.2, 0.0, 0.2]),
        ("preprocess.std", [0.2, "x" * 500, 0.2]),
        ("decision", "costs"),
        ("decision", {"weights": [1.0]}),
        ("decision", {"weights": [1.0, float("nan")]}),
        ("decision", {"costs": [[0, 1], [1]]}),
        ("decision", {"costs": 5}),
    ],
)
def test_values_out_of_range_are_one_line(tmp_path: Path, field: str, value: object) -> None:
    """An absurd size, a repeated class or a wrong number is refused with the field, before any memory is taken."""
    path = tmp_path / "model.json"
    outer, _, inner = field.partition(".")
    changed = {**DESCRIPTION, outer: {**DESCRIPTION[outer], inner: value} if inner else value}  # type: ignore[dict-item]
    path.write_text(json.dumps(changed))
    with pytest.raises(InputError, match=field.replace(".", r"\.")) as caught:
        model_files.read_description(path)
    assert "expected" in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(path))


def test_an_ensemble_names_its_own_files_only(tmp_path: Path) -> None:
    """Members of an ensemble are model-0, model-1, ...: a path to somewhere else is refused."""
    for members in ([], ["../model"], ["model-0", "model-0"], "model-0", 3):
        (tmp_path / "ensemble.json").write_text(json.dumps({"schema": 1, "members": members}))
        with pytest.raises(InputError, match="members: expected"):
            model_files.read_ensemble(tmp_path)


@pytest.mark.parametrize(
    ("arrays", "neighbours", "reason"),
    [
        ({"bank": torch.ones(4, 3)}, 2, "compares 3 features, this model has 2"),
        ({"bank": torch.ones(4)}, 2, "other shapes"),
        ({"known": torch.zeros(0)}, 2, "other shapes"),
        ({"known": torch.tensor([float("nan")])}, 2, "not finite"),
        ({"held_out_groups": torch.zeros(3, dtype=torch.int64)}, 2, "its arrays have other shapes"),
        ({}, 0, "unlike.neighbours: expected a whole number above 0, got 0"),
        ({}, float("inf"), "unlike.neighbours: expected a whole number above 0"),
    ],
)
def test_an_index_of_another_model_is_refused(
    arrays: dict[str, torch.Tensor], neighbours: float, reason: str, tmp_path: Path
) -> None:
    """No hash covers the index of training images: its shapes, numbers and description are checked when it is read."""
    whole = {"bank": torch.ones(4, 2), "known": torch.ones(4), "held_out": torch.zeros(0)}
    description = {"unlike": {"file": NOVELTY, "neighbours": 2}}
    model_files.write_tensors(tmp_path / NOVELTY, whole)
    index = model_files.read_novelty(tmp_path, description, 2)
    assert index is not None
    assert index.k == 2
    model_files.write_tensors(tmp_path / NOVELTY, {**whole, **arrays})
    description["unlike"]["neighbours"] = neighbours
    with pytest.raises(InputError, match=reason):
        model_files.read_novelty(tmp_path, description, 2)
