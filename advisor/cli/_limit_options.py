"""`--max-ms` and `--max-mb`: what the exported model may cost where it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def limits() -> Callable[[Any], Any]:
    """Add both options to a command."""

    def decorate(command: Any) -> Any:
        for option in reversed(_OPTIONS):
            command = option(command)
        return command

    return decorate


_OPTIONS = (
    click.option(
        "--max-ms",
        type=float,
        metavar="X",
        help="Only models whose exported graph takes at most X ms per image on one thread of this machine.",
    ),
    click.option(
        "--max-mb",
        type=float,
        metavar="X",
        help="Only models whose exported file has at most X megabytes (10^6 bytes).",
    ),
)
