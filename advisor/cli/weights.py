"""`tl-advise weights`: which pretrained files are here, and fetching them. No torch on this path."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from advisor.errors import InputError

if TYPE_CHECKING:
    from advisor.aliases import CountProgress
    from advisor.hooks import Backbone

_WORDS = {
    "built_in": "built in",
    "cached": "cached",
    "downloadable": "downloadable",
    "unavailable": "not to be had",
    "none": "needs none",
}


@click.group(name="weights", invoke_without_command=True)
@click.option("--weights-dir", type=click.Path(), metavar="DIR", help="Look for pretrained weights here first.")
@click.option("--offline", is_flag=True, help="Never touch the network.")
@click.option("--verify", is_flag=True, help="Compare cached files with their published checksums.")
@click.option("--json", "as_json", is_flag=True, help="The list as JSON on standard output.")
@click.pass_context
def command(context: click.Context, weights_dir: str | None, offline: bool, verify: bool, as_json: bool) -> None:
    """Say for each backbone whether its weights are built in, cached, downloadable or not to be had.

    Files are looked for in --weights-dir, TORCH_HOME, torch's own cache and tl-advise's.

    \b
    Examples:
      tl-advise weights --verify
      tl-advise weights fetch resnet50.v2
      tl-advise weights fetch resnet18 --to ./weights
    """
    if context.invoked_subcommand is None:
        _list(weights_dir, offline, verify, as_json)


@command.command(name="list")
@click.option("--weights-dir", type=click.Path(), metavar="DIR", help="Look for pretrained weights here first.")
@click.option("--offline", is_flag=True, help="Never touch the network.")
@click.option("--verify", is_flag=True, help="Compare cached files with their published checksums.")
@click.option("--json", "as_json", is_flag=True, help="The list as JSON on standard output.")
def list_(weights_dir: str | None, offline: bool, verify: bool, as_json: bool) -> None:
    """List them (the same as `tl-advise weights`)."""
    _list(weights_dir, offline, verify, as_json)


@command.command(name="fetch")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--to", type=click.Path(), metavar="DIR", help="Put files here. [the cache]")
@click.option("--again", is_flag=True, help="Fetch also what is here already.")
@click.option("--offline", is_flag=True, help="Never touch the network.")
@click.option("--quiet", is_flag=True, help="No bar.")
def fetch(names: tuple[str, ...], to: str | None, again: bool, offline: bool, quiet: bool) -> None:
    """Fetch the weights of backbones; an interrupted transfer goes on where it stopped, and every file is checked.

    \b
    Examples:
      tl-advise weights fetch resnet50.v2 convnext_tiny
      tl-advise weights fetch mobilenet_v2 --again
    """
    from advisor import registry
    from advisor.models import pretrained_weights

    found = registry.load()
    backbones = [found.backbone(name) for name in names]
    for backbone in backbones:
        with _bar(backbone, quiet=quiet) as progress:
            where = pretrained_weights.fetch(backbone, to=to, offline=offline, again=again, progress=progress)
        told = str(where.path) if where.path is not None else where.reason
        click.echo(f"{backbone.name}: {_WORDS[where.state]}, {told}")


@contextmanager
def _bar(backbone: Backbone, *, quiet: bool) -> Iterator[CountProgress | None]:
    if quiet:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(TextColumn("{task.description}"), *columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(backbone.name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


# ---- the list ----------------------------------------------------------------------------------------------------


def _list(weights_dir: str | None, offline: bool, verify: bool, as_json: bool) -> None:
    from advisor import registry

    found = registry.load()
    if not found.backbones:
        raise InputError("no backbone is installed.", hint="See `tl-advise plugins`.")
    rows = [_row(b, weights_dir, offline=offline, verify=verify) for b in found.backbones.values()]
    rows = _reached(rows)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    _tell(rows)


def _tell(rows: list[dict[str, Any]]) -> None:
    from advisor.cli import _console
    from advisor.cli._result_table import text

    table = _console.listing("backbone", "weights", "size", "ImageNet", "licence", "where, or why not")
    for row in sorted(rows, key=lambda r: (list(_WORDS).index(r["state"]), r["backbone"])):
        accuracy = "-" if row["published_accuracy"] is None else f"{100 * row['published_accuracy']:.1f} %"
        told = "; ".join(part for part in (row["warning"], row["path"] or row["reason"]) if part)
        cells = (row["backbone"], _WORDS[row["state"]], _console.size(row["bytes"]), accuracy, row["licence"], told)
        table.add_row(*(text(cell) for cell in cells))
    out = _console.console()
    out.print(table)
    if any(row["command"] for row in rows):
        out.print("Fetch one with `tl-advise weights fetch NAME`, or copy its file into a folder for --weights-dir.")


def _row(backbone: Backbone, weights_dir: str | None, *, offline: bool, verify: bool) -> dict[str, Any]:
    from advisor.models import pretrained_weights

    where = pretrained_weights.locate(backbone, weights_dir=weights_dir, offline=offline)
    published = pretrained_weights.as_weights(backbone)
    digest = pretrained_weights.sha256(where.path) if verify and where.path is not None else ""
    expected = published.sha256_prefix if published else ""
    differs = bool(digest and expected and not digest.startswith(expected))
    return {
        "backbone": backbone.name,
        "state": where.state,
        "file": published.file if published else "",
        "bytes": where.bytes,
        "path": str(where.path) if where.path is not None else "",
        "licence": published.licence if published else "-",
        "published_accuracy": backbone.published_accuracy,
        "sha256": digest,
        "warning": f"not the published file: SHA-256 {digest[:8]}, expected {expected[:8]}" if differs else "",
        "reason": where.reason,
        "command": where.command,
    }


def _reached(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Say truly what can be had: where no network answers, nothing is downloadable now."""
    from advisor.models import pretrained_weights

    if not any(row["state"] == "downloadable" for row in rows) or pretrained_weights.network_reachable():
        return rows
    lost = {"state": "unavailable", "reason": "not on this disk, and no network answers"}
    return [{**row, **lost} if row["state"] == "downloadable" else row for row in rows]
