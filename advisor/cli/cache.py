"""`tl-advise cache`: list and clear what is kept of decoded pixels and computed features."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from advisor.runtime.cache import Entry


@click.group(name="cache", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List and clear cached pixels and features.

    Decoded images and features of frozen networks are kept in the user's cache directory (TL_ADVISE_CACHE moves it) and
    bounded in size: the least recently used make room. Clearing costs time on the next run, never a result.

    \b
    Examples:
      tl-advise cache list
      tl-advise cache clear
      tl-advise cache clear --kind pixels
    """
    if context.invoked_subcommand is None:
        context.invoke(listing)


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="The entries as JSON on standard output.")
def listing(as_json: bool = False) -> None:
    """List what is kept: kind, size, last use, what it was made from."""
    from advisor.runtime import cache

    store = cache.Store()
    entries = store.entries()
    used = sum(entry.bytes for entry in entries)
    if as_json:
        facts = [{"kind": e.kind, "bytes": e.bytes, "used_s": e.used_s, "fields": e.fields} for e in entries]
        answer = {"path": str(store.directory), "bytes": used, "cap_bytes": store.cap_bytes, "entries": facts}
        click.echo(json.dumps(answer, indent=2))
        return
    _print(entries, str(store.directory), used, store.cap_bytes)


@command.command()
@click.option("--kind", help="Only entries of this kind, as `cache list` names it.")
def clear(kind: str | None) -> None:
    """Delete cached entries; runs that use them now keep what they have opened."""
    from advisor.cli import _console
    from advisor.errors import InputError
    from advisor.runtime import cache

    store = cache.Store()
    kinds = sorted({entry.kind for entry in store.entries()})
    if kind is not None and kind not in kinds:
        known = ", ".join(kinds) or "nothing"
        raise InputError(f"nothing of kind {kind!r} is cached (there is: {known}).", hint="See `tl-advise cache list`.")
    click.echo(f"freed {_console.size(store.clear(kind))} at {store.directory}")


def _print(entries: tuple[Entry, ...], place: str, used: int, cap: int) -> None:
    import datetime

    from advisor.cli import _console, _result_table

    out = _console.console()
    if entries:
        table = _console.listing("kind", "size", "last used", "made from")
        for entry in entries:
            when = datetime.datetime.fromtimestamp(entry.used_s).strftime("%Y-%m-%d %H:%M")
            facts = ", ".join(f"{k} {v}" for k, v in entry.fields.items() if k not in ("kind", "items", "code"))
            table.add_row(_result_table.text(entry.kind), _console.size(entry.bytes), when, _result_table.text(facts))
        out.print(table)
    share = (
        f"{_console.size(used)} of at most {_console.size(cap)}" if entries else f"empty, at most {_console.size(cap)}"
    )
    out.print(f"{share} at {_result_table.text(place)}", soft_wrap=True)
