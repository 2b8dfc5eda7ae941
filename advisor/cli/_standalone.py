"""What the commands that open a data set by themselves share: their settings, and places to write to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advisor.records import Settings


def settings(dataset: str, call: Mapping[str, Any]) -> Settings:
    """Return the options of `_options.single` as settings. Raises InputError where the data are not there."""
    from advisor.cli import _options
    from advisor.data.remote import urls
    from advisor.records import Settings

    urls.check_exists(dataset)
    return Settings(
        data=dataset,
        budget_s=None,
        seed=call["seed"],
        device=call["device"],
        size_px=call["size_px"],
        backbones=(call["backbone"],) if call["backbone"] else (),
        weights_dir=call["weights_dir"],
        offline=call["offline"],
        threads=call["threads"],
        reading=_options.read_options(dict(call)),
        plugins_blocked=tuple(call["blocked"]),
    )


def output_file(path: str | None, suffixes: tuple[str, ...], option: str) -> Path | None:
    """Check at the start that a file can be written at the end. Raises OutputError."""
    from advisor.errors import OutputError

    if path is None:
        return None
    target = Path(path)
    if suffixes and target.suffix not in suffixes:
        raise OutputError(f"{option} {path}: the name must end in {' or '.join(suffixes)}.")
    try:
        writable = target.parent.is_dir() and not target.is_dir()
        writable = writable and os.access(target if target.exists() else target.parent, os.W_OK)
    except OSError:  # a name that the file system refuses
        writable = False
    if not writable:
        raise OutputError(f"{option} {path}: cannot be written.", hint="Name a file in a folder that exists.")
    return target
