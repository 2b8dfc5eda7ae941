"""`tl-advise inspect`: describe a data set before anything is trained. Runs without torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from advisor.aliases import CountProgress
    from advisor.records import Dataset, Profile, Quantiles

SHOWN_CLASSES = 24
SHOWN_PATHS = 8


@click.command(name="inspect")
@click.argument("dataset", type=click.Path())
@click.option("--deep", is_flag=True, help="Decode every file: truncated images and near-duplicates.")
@click.option(
    "--test-split", type=click.Choice(["auto", "none"]), default="auto", show_default=True, help="Hold out a test set?"
)
@click.option("--quiet", is_flag=True, help="No progress display, only the result.")
@click.option("--json", "as_json", is_flag=True, help="The profile as JSON on standard output.")
def command(dataset: str, deep: bool, test_split: str, quiet: bool, as_json: bool) -> None:
    """Inspect a data set: sizes, classes, splits, duplicates, leaks, unreadable files.

    DATASET is a folder of class folders; or train/, val/, test/ of class folders; or a CSV or TSV with path,label and
    optionally split,group. Headers are read and bytes are hashed; --deep decodes everything.

    \b
    Examples:
      tl-advise inspect ./photos
      tl-advise inspect ./photos --deep
      tl-advise inspect labels.csv --json
    """
    from advisor.data.dataset import read
    from advisor.data.profile import check_learnable, measure, set_aside
    from advisor.runtime import cache

    with _progress(quiet) as begin:
        items = read(dataset, test_split=test_split, progress=begin("reading files"))
        check_learnable(items)
        store = cache.Store() if deep else None
        profile = measure(items, deep=deep, store=store, progress=begin("decoding") if deep else None)
    items = set_aside(items, profile.unreadable)
    check_learnable(items)
    if as_json:
        click.echo(json.dumps(to_json(items, profile), indent=2, allow_nan=False))
    else:
        _print(items, profile)


def to_json(dataset: Dataset, profile: Profile) -> dict[str, Any]:
    """Return the profile with the path, layout and skipped files of the data set, ready for JSON."""
    location = {"path": dataset.root, "layout": dataset.layout, "skipped": dataset.skipped}
    return {**location, **asdict(profile), "per_class": profile.per_class}


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str], CountProgress]]:
    """Yield a function that adds a progress bar on standard error (none where that is not a terminal)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    screen = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    bars = Progress(*columns, console=screen, transient=True, disable=quiet or not screen.is_terminal)

    def begin(what: str) -> CountProgress:
        task = bars.add_task(what, total=None)
        return lambda done, total: bars.update(task, completed=done, total=total)

    with bars:
        yield begin


def _print(dataset: Dataset, profile: Profile) -> None:
    from advisor.cli import _console, _result_table

    out = _console.console()
    out.print(f"[bold]{_result_table.text(dataset.root)}[/bold]")
    out.print(_overview(dataset, profile))
    out.print(_classes(profile))
    out.print(_shapes(profile))
    modes = ", ".join(f"{mode} {n:,}" for mode, n in profile.modes.items())
    out.print(f"a centre crop removes {profile.crop_loss:.0%} on average; colour modes: {modes}", soft_wrap=True)
    _list_duplicates(out, profile)
    _list_unreadable(out, profile)
    for warning in profile.warnings:
        out.print(f"[yellow]Warning:[/yellow] {_result_table.text(warning)}", soft_wrap=True)
    if any(group.across for group in profile.duplicates):
        out.print("[dim]`advise --remove-leaks` removes the leaking images from training.[/dim]")
    if not profile.near_checked:
        out.print("[dim]--deep also decodes every file, to find truncated images and near-duplicates.[/dim]")


def _overview(dataset: Dataset, profile: Profile) -> Table:
    from rich.table import Table

    layouts = {"folders": "class folders", "splits": "train/val/test folders", "manifest": "manifest"}
    rules = {
        "given": "given test set",
        "cut": f"{dataset.split.fraction:.0%} of each class held out, chosen by content",
        "none": "no test set, so no test score",
    }
    pool, test = dataset.split.pool, dataset.split.test
    split = f"{pool:,} for training and validation, {test:,} for the test: {rules[dataset.split.rule]}"
    balance = "balanced"
    if profile.imbalance >= 1.05:
        balance = f"the largest has {profile.imbalance:.1f} times as many as the smallest"
    per_class = f"{len(profile.classes):,}, {profile.per_class:,.1f} images each on average, "
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("layout", layouts[dataset.layout])
    table.add_row("images", f"{profile.images:,} readable, {len(profile.unreadable):,} unreadable")
    table.add_row("classes", per_class + balance)
    table.add_row("split", split)
    table.add_row("skipped", f"{dataset.skipped:,} hidden or other files")
    table.add_row("fingerprint", profile.fingerprint)
    return table


def _classes(profile: Profile) -> Table:
    """Return the table of images per class; of many classes, the largest and the smallest only."""
    from advisor.cli import _console, _result_table

    pool, test = profile.counts["pool"], profile.counts["test"]
    order = sorted(profile.classes, key=lambda name: (-pool[name], name))
    half = SHOWN_CLASSES // 2
    table = _console.listing("class", "training and validation", "test", "")
    for column in table.columns[1:3]:
        column.justify = "right"
    few = len(order) <= SHOWN_CLASSES
    for name in order if few else order[:half]:
        table.add_row(_result_table.text(name), f"{pool[name]:,}", f"{test[name]:,}", "")
    if not few:
        table.add_row(f"... {len(order) - 2 * half:,} more ...", "", "", "")
        for name in order[-half:]:
            table.add_row(_result_table.text(name), f"{pool[name]:,}", f"{test[name]:,}", "")
    return table


def _shapes(profile: Profile) -> Table:
    from advisor.cli import _console

    table = _console.listing("pixels", "min", "5 %", "median", "95 %", "max", "")

    def row(name: str, q: Quantiles, form: str) -> None:
        table.add_row(name, *(format(v, form) for v in (q.low, q.q05, q.median, q.q95, q.high)), "")

    row("width", profile.width, ",.0f")
    row("height", profile.height, ",.0f")
    row("width / height", profile.aspect, ".2f")
    return table


def _list_duplicates(out: Console, profile: Profile) -> None:
    from advisor.cli import _console, _result_table

    groups = sorted(profile.duplicates, key=lambda g: (not g.across, not g.labels_differ, g.kind, g.paths))
    if not groups:
        compared = "equal bytes and near-duplicates" if profile.near_checked else "equal bytes"
        out.print(f"no duplicates ({compared})")
        return
    table = _console.listing("duplicates", "", "files")
    for group in groups[:SHOWN_PATHS]:
        marks = ["[red]leak: training and test[/red]"] * group.across + [
            "[red]labels differ[/red]"
        ] * group.labels_differ
        names = ", ".join(_result_table.text(path) for path in group.paths[:4])
        more = f" and {len(group.paths) - 4} more" if len(group.paths) > 4 else ""
        table.add_row(group.kind, ", ".join(marks), names + more)
    if len(groups) > SHOWN_PATHS:
        table.add_row("...", "", f"{len(groups) - SHOWN_PATHS:,} more sets (--json lists all)")
    out.print(table)


def _list_unreadable(out: Console, profile: Profile) -> None:
    from advisor.cli import _console, _result_table

    if not profile.unreadable:
        return
    table = _console.listing("unreadable", "reason")
    for file in profile.unreadable[:SHOWN_PATHS]:
        table.add_row(_result_table.text(file.path), _result_table.text(file.reason))
    if len(profile.unreadable) > SHOWN_PATHS:
        table.add_row("...", f"{len(profile.unreadable) - SHOWN_PATHS:,} more (--json lists all)")
    out.print(table)
