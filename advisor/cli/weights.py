"""`tl-advise weights`: list and download pretrained weights. No torch on this path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from advisor.cli import _options
from advisor.errors import InputError

if TYPE_CHECKING:
    from advisor.aliases import CountProgress
    from advisor.hooks import Backbone

_WORDS = {
    "built_in": "built in",
    "cached": "cached",
    "downloadable": "downloadable",
    "unavailable": "unavailable",
    "none": "none needed",
}


@click.group(name="weights", invoke_without_command=True)
@_options.weights_dir()
@_options.offline()
@click.option("--verify", is_flag=True, help="Compare local files with their published checksums.")
@_options.as_json("Print the list as JSON on standard output.")
@click.pass_context
def command(context: click.Context, weights_dir: str | None, offline: bool, verify: bool, as_json: bool) -> None:
    """List and download pretrained weights: which are built in, cached, downloadable or unavailable.

    Files are searched for in --weights-dir, TORCH_HOME, the cache of torch and the cache of tl-advise.

    \b
    Examples:
      tl-advise weights --verify
      tl-advise weights fetch resnet50.v2
      tl-advise weights fetch resnet18 --to ./weights
    """
    if context.invoked_subcommand is None:
        _list(weights_dir, offline, verify, as_json)


@command.command(name="list")
@_options.weights_dir()
@_options.offline()
@click.option("--verify", is_flag=True, help="Compare local files with their published checksums.")
@_options.as_json("Print the list as JSON on standard output.")
def list_(weights_dir: str | None, offline: bool, verify: bool, as_json: bool) -> None:
    """List pretrained weights (the same as `tl-advise weights`)."""
    _list(weights_dir, offline, verify, as_json)


@command.command(name="fetch")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("-o", "--out", "--to", "out", type=click.Path(), metavar="DIR", help="Folder for the files. [the cache]")
@click.option("--again", is_flag=True, help="Download again what is available locally.")
@_options.offline()
@_options.quiet()
def fetch(names: tuple[str, ...], out: str | None, again: bool, offline: bool, quiet: bool) -> None:
    """Download the weights of backbones. An interrupted download is resumed, and every file is verified.

    \b
    Examples:
      tl-advise weights fetch resnet50.v2 convnext_tiny
      tl-advise weights fetch mobilenet_v2 --again
    """
    from advisor import registry
    from advisor.cli import _console
    from advisor.models import pretrained_weights

    plugins = registry.load()
    backbones = [plugins.backbone(name) for name in names]
    for backbone in backbones:
        with _bar(backbone, quiet=quiet) as progress:
            where = pretrained_weights.fetch(backbone, to=out, offline=offline, again=again, progress=progress)
        detail = str(where.path) if where.path is not None else where.reason
        _console.say(f"{backbone.name}: {_WORDS[where.state]}, {detail}")


@contextmanager
def _bar(backbone: Backbone, *, quiet: bool) -> Iterator[CountProgress | None]:
    from advisor.cli import _console

    if quiet:
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    console = _console.console(stderr=True)
    with Progress(TextColumn("{task.description}"), *columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(_console.text(backbone.name), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


# ---- the list ----------------------------------------------------------------------------------------------------


def _list(weights_dir: str | None, offline: bool, verify: bool, as_json: bool) -> None:
    from advisor import registry
    from advisor.cli import _console

    plugins = registry.load()
    if not plugins.backbones:
        raise InputError("no backbone is installed.", hint="See `tl-advise plugins`.")
    rows = [_row(b, weights_dir, offline=offline, verify=verify) for b in plugins.backbones.values()]
    rows = _without_server(rows)
    if as_json:
        _console.as_json(rows)
    else:
        _print(rows)


def _print(rows: list[dict[str, Any]]) -> None:
    from advisor.cli import _console

    ordered = sorted(rows, key=lambda r: (list(_WORDS).index(r["state"]), r["backbone"]))
    lines = []
    for row in ordered:
        accuracy = "-" if row["published_accuracy"] is None else f"{100 * row['published_accuracy']:.1f} %"
        state = f"{_WORDS[row['state']]}, {row['licence']}"
        lines.append((row["backbone"], _console.size(row["bytes"]), accuracy, state))
    titles = ("network", "size", "ImageNet", "weights and licence")
    _console.print_columns(titles, lines, fold=0, right=(1, 2))
    _console.say("")
    for row in ordered:
        if row["path"]:
            _console.say("; ".join(part for part in (f"{row['backbone']}: {row['path']}", row["warning"]) if part))
    reasons = Counter(row["reason"] for row in rows if row["reason"])
    for reason, count in reasons.most_common():
        _console.say(f"{_console.counted(count, 'network')}: {reason}")
    if any(row["command"] for row in rows):
        _console.say(
            "Download with `tl-advise weights fetch NAME`, or copy the file into a folder and name it by --weights-dir."
        )


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


def _without_server(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows, with downloads marked as unavailable where the download server does not respond."""
    from advisor.models import pretrained_weights

    if not any(row["state"] == "downloadable" for row in rows) or pretrained_weights.network_reachable():
        return rows
    unavailable = {"state": "unavailable", "reason": "not downloaded, and the download server did not respond"}
    return [{**row, **unavailable} if row["state"] == "downloadable" else row for row in rows]
