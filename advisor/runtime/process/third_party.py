"""Other people's code in our process: what it prints is no answer of ours, and what it sets for the whole process is set back.

In: nothing. Out: a context for calls of a plugin. A plugin that changes the working directory, torch's default dtype or its
threads would otherwise change what every other network computes, or where the run is written.
Does NOT cover: what it raises (`plugin_guard`), generators of random numbers (`models.backbone`), signals.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Send to standard error what is printed meanwhile, and restore the working directory and torch's global settings."""
    restorers = (_prints(), _directory(), _torch_settings())
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
    """Return what sets dtype, gradients and threads back; where torch is imported only now, to its own defaults."""
    torch = sys.modules.get("torch")
    loaded = torch is not None and hasattr(torch, "get_num_threads")
    dtype = torch.get_default_dtype() if loaded and torch else None
    gradients = torch.is_grad_enabled() if loaded and torch else True
    threads = torch.get_num_threads() if loaded and torch else None

    def restore() -> None:
        torch = sys.modules.get("torch")
        if torch is None or not hasattr(torch, "get_num_threads"):
            return
        if torch.get_default_dtype() is not (dtype or torch.float32):
            torch.set_default_dtype(dtype or torch.float32)
        if torch.is_grad_enabled() != gradients:
            torch.set_grad_enabled(gradients)
        if threads is not None and torch.get_num_threads() != threads:
            torch.set_num_threads(threads)

    return restore
