"""Other people's code in our process: what it prints is no answer of ours, and what it sets for the whole process is set back.

In: nothing. Out: a context for calls of a plugin. A plugin that changes the working directory, torch's default dtype,
device or threads would otherwise change what every other network computes, or where the run is written.
Does NOT cover: what it raises (`plugin_guard`), generators of random numbers (`models.backbone`), signals.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Send to standard error what is printed meanwhile, and restore the directory and the settings of torch and numpy."""
    restorers = (_prints(), _directory(), _torch_settings(), _numpy_errors())
    try:
        yield
    finally:
        for restore in restorers:
            restore()


def _prints() -> Callable[[], None]:
    """Redirect standard output; unlike contextlib.redirect_stdout, calls of two threads may overlap."""
    before = sys.stdout
    if before is sys.stderr:
        return lambda: None
    sys.stdout = sys.stderr

    def restore() -> None:
        sys.stdout = before

    return restore


def _directory() -> Callable[[], None]:
    try:
        before = os.getcwd()
    except OSError:  # it was deleted: there is nothing to go back to
        return lambda: None

    def restore() -> None:
        with contextlib.suppress(OSError):
            if os.getcwd() == before:
                return
        with contextlib.suppress(OSError):
            os.chdir(before)

    return restore


def _torch_settings() -> Callable[[], None]:
    """Return what sets torch's settings back; where torch is imported only now, to its own defaults."""
    torch = _loaded_torch()
    before = None if torch is None else _settings_of(torch)
    threads = None if torch is None else torch.get_num_threads()

    def restore() -> None:
        torch = _loaded_torch()
        if torch is None:
            return
        now = _settings_of(torch)
        target = _defaults_of(torch) if before is None else before
        if now != target:
            _set(torch, now, target)
        if threads is not None and torch.get_num_threads() != threads:
            torch.set_num_threads(threads)

    return restore


def _loaded_torch() -> Any:
    torch = sys.modules.get("torch")
    return torch if hasattr(torch, "get_num_threads") else None


class _Settings(NamedTuple):
    """What decides where and how torch computes. `matmul` is None where torch has no one word for it."""

    dtype: Any
    device: Any
    gradients: bool
    matmul: str | None
    is_deterministic: bool
    finds_anomalies: bool


def _defaults_of(torch: Any) -> _Settings:
    return _Settings(torch.float32, None, True, "highest", False, False)


def _settings_of(torch: Any) -> _Settings:
    try:
        matmul = torch.get_float32_matmul_precision()
    except RuntimeError:  # set by its newer functions, backend by backend
        matmul = None
    return _Settings(
        torch.get_default_dtype(),
        _default_device(torch),
        torch.is_grad_enabled(),
        matmul,
        torch.are_deterministic_algorithms_enabled(),
        torch.is_anomaly_enabled(),
    )


def _default_device(torch: Any) -> Any:
    """Return the device that was set for the whole process, None for none; not that of a `with torch.device(...)`."""
    context = getattr(getattr(torch, "_GLOBAL_DEVICE_CONTEXT", None), "device_context", None)
    return None if context is None else context.device


def _set(torch: Any, now: _Settings, target: _Settings) -> None:
    if now.dtype is not target.dtype:
        torch.set_default_dtype(target.dtype)
    if now.device != target.device:
        torch.set_default_device(target.device)
    if now.gradients != target.gradients:
        torch.set_grad_enabled(target.gradients)
    if target.matmul not in (None, now.matmul):
        torch.set_float32_matmul_precision(target.matmul)
    if now.is_deterministic != target.is_deterministic:
        torch.use_deterministic_algorithms(target.is_deterministic)
    if now.finds_anomalies != target.finds_anomalies:
        torch.autograd.set_detect_anomaly(target.finds_anomalies)


def _numpy_errors() -> Callable[[], None]:
    """Return what sets numpy's answer to overflow and the like back: an error where nobody expects one ends a run."""
    numpy = _loaded_numpy()
    before = None if numpy is None else numpy.geterr()

    def restore() -> None:
        numpy, target = _loaded_numpy(), before or _NUMPY_DEFAULTS
        if numpy is not None and numpy.geterr() != target:
            numpy.seterr(**target)

    return restore


_NUMPY_DEFAULTS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}


def _loaded_numpy() -> Any:
    numpy = sys.modules.get("numpy")
    return numpy if hasattr(numpy, "seterr") else None
