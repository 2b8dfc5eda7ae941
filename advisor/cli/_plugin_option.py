"""`--block PLUGIN`: which plugins are not loaded. Does NOT cover: TL_ADVISE_PLUGINS (`registry`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def blocked() -> Callable[[Any], Any]:
    """Return `--block PLUGIN`."""
    return click.option(
        "--block",
        "blocked",
        multiple=True,
        metavar="PLUGIN",
        callback=_check_installed,
        help="Do not load this plugin (repeatable).",
    )


def _check_installed(context: click.Context, _: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    if names and not context.resilient_parsing:
        from advisor import plugin_loading

        plugin_loading.check_installed(names)
    return names
