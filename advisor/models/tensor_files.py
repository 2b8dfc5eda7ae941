"""Pretrained weights: a file of named tensors, read onto the CPU without executing anything in it.

In: a .safetensors file, or torch's format (through its weights-only reader), with or without the usual
{"state_dict": ...} around the tensors. Out: a dictionary of finite tensors of which at least one matrix varies.
Does NOT cover: which file (`pretrained_weights`), which network the tensors fit (`backbone`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.errors import WeightsError, one_line
from advisor.models import model_files

if TYPE_CHECKING:
    import torch


def read(path: Path, *, command: str = "") -> dict[str, torch.Tensor]:
    """Read a file of tensors (.safetensors, or torch's format) onto the CPU; nothing in it is executed.

    `command` is what downloads the file again, for the hint. Raises WeightsError if it is damaged or truncated, holds
    anything but tensors, values that are not finite, or only constants.
    """
    hint = f"Download it again with `{command}`, or remove it." if command else "Download it again, or remove it."
    try:
        loaded = _read_safetensors(path) if _is_safetensors(path) else _read_torch(path)
    except Exception as error:  # every reader has its own family of errors for damaged bytes
        raise WeightsError(
            f"{path} cannot be read as weights ({type(error).__name__}: {one_line(error, 120)}): damaged or truncated?",
            hint=hint,
        ) from error
    return _checked(path, loaded, hint)


def check_outputs(state: Mapping[str, torch.Tensor], classes: Sequence[str], described_in: Path) -> None:
    """Raise InputError unless a saved head has an output for every class that the description names."""
    weight_KD, settings = state.get("head.weight"), state.get("head.settings")  # nearest neighbours have no matrix
    count = len(weight_KD) if weight_KD is not None else int(settings[0]) if settings is not None else len(classes)
    if count != len(classes):
        model_files.fail(described_in, "classes", f"{count} names, one for each output of the head", list(classes))


def _is_safetensors(path: Path) -> bool:
    """Return True for the format's beginning, whatever the file is called: eight bytes of length, then JSON."""
    with open(path, "rb") as file:
        start = file.read(9)
    return start[8:] == b"{" or (len(start) < 9 and path.suffix == ".safetensors")


def _read_safetensors(path: Path) -> Any:
    from safetensors.torch import load_file

    return load_file(str(path), device="cpu")


def _read_torch(path: Path) -> Any:
    import warnings

    import torch

    with open(path, "rb") as file, warnings.catch_warnings():  # a path would be judged by its suffix
        warnings.simplefilter("ignore")  # remarks about old or odd formats: what counts is whether it can be read
        return torch.load(file, map_location="cpu", weights_only=True)


def _checked(path: Path, loaded: Any, hint: str) -> dict[str, torch.Tensor]:
    import torch

    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]  # the usual wrapper around a checkpoint's weights
    tensors = loaded if isinstance(loaded, Mapping) else {}
    if not tensors or not all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in tensors.items()):
        raise WeightsError(f"{path} is not a file of named tensors.", hint=hint)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{path} holds values that are not finite (in {name}).", hint=hint)
    if is_constant(tensors):
        raise WeightsError(f"{path} holds no trained weights: every matrix in it is constant.", hint=hint)
    return dict(tensors)


def is_constant(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Return True if there are matrices (or filters) and each of them holds one value only, such as zero."""
    matrices = [t for t in tensors.values() if t.ndim >= 2 and t.numel() > 1 and t.is_floating_point()]
    return bool(matrices) and all(bool((matrix == matrix.flatten()[0]).all()) for matrix in matrices)
