"""A file of named tensors -> a dictionary on the CPU, and never anything else: no object in the file is ever built.

Reads .safetensors, and torch's format through its weights-only reader, with or without the usual {"state_dict": ...}
around. Does NOT cover: which file (`weights`), which network the tensors fit (`backbone`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.errors import WeightsError

if TYPE_CHECKING:
    import torch


def read(path: Path, *, command: str = "") -> dict[str, torch.Tensor]:
    """Read a file of tensors (.safetensors, or torch's format) onto the CPU; nothing in it is executed.

    Raises WeightsError where it is damaged, truncated, holds anything but tensors, or numbers that are not finite.
    """
    hint = f"Get it again with `{command}`, or remove it." if command else "Get it again, or remove it."
    try:
        loaded = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    except Exception as error:  # every reader has its own family of errors for damaged bytes
        raise WeightsError(
            f"{path} cannot be read as weights ({_reason(error)}): damaged or truncated?", hint=hint
        ) from error
    return _checked(path, loaded, hint)


def _read_safetensors(path: Path) -> Any:
    from safetensors.torch import load_file

    return load_file(str(path), device="cpu")


def _read_torch(path: Path) -> Any:
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks about old or odd formats: what matters is whether it can be read
        return torch.load(path, map_location="cpu", weights_only=True)


def _checked(path: Path, loaded: Any, hint: str) -> dict[str, torch.Tensor]:
    import torch

    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]  # the usual wrapper around a checkpoint's weights
    tensors = loaded if isinstance(loaded, Mapping) else {}
    if not tensors or not all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in tensors.items()):
        raise WeightsError(f"{path} is not a file of named tensors.", hint=hint)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{path} holds values that are no numbers (in {name}).", hint=hint)
    return dict(tensors)


def _reason(error: BaseException) -> str:
    first = str(error).strip().splitlines()[0] if str(error).strip() else ""
    text = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return text if len(text) <= 120 else text[:117] + "..."
