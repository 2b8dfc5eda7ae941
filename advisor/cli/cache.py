"""`tl-advise cache`: how much is cached, for what, since when; and clearing it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from advisor.cli import _options

if TYPE_CHECKING:
    from advisor.runtime.cache import CacheEntry

KINDS = {
    "pixels": "decoded images",
    "features": "features of frozen networks",
    "pixel contents": "which decoded images are the same",
    "similar images": "which images are crops or mirror images of others",
    "unpacked data": "archives and shards, unpacked",
    "remote data": "data sets and images fetched from a URL",
}


@click.group(name="cache", invoke_without_command=True)
@_options.as_json("Print the entries as JSON on standard output.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Show and clear cached pixels and features.

    Decoded images, features of frozen networks, which images are crops of others, and copies of data sets (unpacked
    archives, data behind a URL) are kept in the cache directory of the user (TL_ADVISE_CACHE moves it), up to a size
    limit: what was used least recently is deleted first. Clearing costs time in the next run and never changes a result.

    \b
    Examples:
      tl-advise cache
      tl-advise cache --json
      tl-advise cache clear --kind pixels
    """
    if context.invoked_subcommand is None:
        context.invoke(listing, as_json=as_json)


@command.command(name="list")
@click.option("--all", "everything", is_flag=True, help="List every entry, with what it was made from.")
@_options.as_json("Print the entries as JSON on standard output.")
def listing(everything: bool = False, as_json: bool = False) -> None:
    """List what is cached (the same as `tl-advise cache`)."""
    from advisor.cli import _console
    from advisor.data.archives import unpacking
    from advisor.runtime import cache

    store = cache.Store()
    entries = (*store.entries(), *unpacking.copies())
    used = sum(entry.bytes for entry in entries)
    if as_json:
        rows = [{"kind": e.kind, "bytes": e.bytes, "used_s": e.used_s, "fields": e.fields} for e in entries]
        _console.as_json({"path": str(store.directory), "bytes": used, "cap_bytes": store.cap_bytes, "entries": rows})
        return
    _print(entries, everything=everything)
    limits = f"{_console.size(store.cap_bytes)} and {_console.size(unpacking.KEPT_BYTES)} of each kind of copies of data sets"
    full = f"{_console.size(used)}, at most" if entries else "Empty, at most"
    _console.say(f"{full} {limits}, in {cache.default_dir()}")
    if entries:
        _console.say("`tl-advise cache clear` frees the space; no result changes.")


@command.command()
@click.option("--kind", metavar="NAME", help="Only entries of this kind, as `tl-advise cache` names it.")
def clear(kind: str | None) -> None:
    """Delete cached entries. Runs that are using them now are not disturbed."""
    from advisor.cli import _console
    from advisor.data.archives import unpacking
    from advisor.errors import InputError
    from advisor.runtime import cache

    store = cache.Store()
    kinds = sorted({entry.kind for entry in (*store.entries(), *unpacking.copies())})
    if kind is not None and kind not in kinds:
        cached = f"it holds {', '.join(kinds)}" if kinds else "it is empty"
        raise InputError(f"--kind {kind}: the cache has no such entries ({cached}).", hint="See `tl-advise cache`.")
    freed = store.clear(kind) + unpacking.clear(kind)
    _console.say(f"Freed {_console.size(freed) if freed else '0 B'} in {cache.default_dir()}")


def _print(entries: Sequence[CacheEntry], *, everything: bool) -> None:
    from advisor.cli import _console

    if not entries:
        return
    table = _console.listing("kind", "what", "entries", "size", "oldest use", "last use", right=("entries", "size"))
    for kind in sorted({entry.kind for entry in entries}):
        of_kind = [entry for entry in entries if entry.kind == kind]
        uses = sorted(entry.used_s for entry in of_kind)
        size = _console.size(sum(entry.bytes for entry in of_kind))
        cells = (KINDS.get(kind, ""), f"{len(of_kind):,}", size, _date(uses[0]), _date(uses[-1]))
        table.add_row(_console.text(kind), *cells)
    out = _console.console()
    out.print(table)
    if everything:
        detail = _console.listing("kind", "size", "last use", "made from", right=("size",))
        for entry in sorted(entries, key=lambda e: -e.bytes):
            made = ", ".join(f"{k} {v}" for k, v in entry.fields.items() if k not in ("kind", "items", "code"))
            row = (_console.text(entry.kind), _console.size(entry.bytes), _date(entry.used_s), _console.text(made))
            detail.add_row(*row)
        out.print(detail)


def _date(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
