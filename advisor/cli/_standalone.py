"""What the commands that open a data set by themselves share: settings, a bar on standard error, places to write to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advisor.records import Settings


def settings(dataset: str, call: Mapping[str, Any]) -> Settings:
    """Turn the options of `options.single` into settings. Raises InputError where the data are not there."""
    from advisor.errors import InputError
    from advisor.records import Settings

    if not Path(dataset).exists():
        raise InputError(f"{dataset}: no such folder or file.", hint="Name a folder of class folders, or a CSV.")
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
    )


@contextmanager
def answering(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Give a function that moves a bar on standard error where somebody watches, and does nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    screen = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True, disable=quiet or not sys.stderr.isatty()) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def place_for(path: str | None, suffixes: tuple[str, ...], option: str) -> Path | None:
    """Check at the start that a file can be written there. Raises OutputError."""
    from advisor.errors import OutputError

    if path is None:
        return None
    place = Path(path)
    if place.suffix not in suffixes:
        raise OutputError(f"{option} {path}: expected a name that ends in {' or '.join(suffixes)}.")
    if not place.parent.is_dir() or place.is_dir():
        raise OutputError(f"{option} {path}: cannot be written there.", hint="Name a file in a folder that exists.")
    return place
