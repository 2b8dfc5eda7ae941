"""`--device NAME`: what no device is called is refused before torch is imported, which takes seconds.

Does NOT cover: whether this machine has the device (`runtime.device`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def device() -> Callable[[Any], Any]:
    """Return `--device NAME`."""
    return click.option(
        "--device", default="auto", show_default=True, metavar="NAME", callback=checked, help="auto, cpu or cuda[:i]."
    )


def checked(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    """Return the name of a device. Raises InputError for what no device is called."""
    from advisor.runtime import device

    if name is not None:
        device.check_name(name)
    return name
