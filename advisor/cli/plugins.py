"""`tl-advise plugins`: list backbones and strategies with where they come from, and check one. No torch in the list."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from advisor.errors import CheckError

if TYPE_CHECKING:
    from advisor.registry import PluginInfo, Registry
    from advisor.testing import Check


@click.group(name="plugins", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="The list as JSON on standard output.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List backbones and strategies, where each comes from, and plugins that are disabled, with the reason.

    TL_ADVISE_PLUGINS=a,b loads only these plugins, TL_ADVISE_PLUGINS=-a leaves one out.

    \b
    Examples:
      tl-advise plugins
      tl-advise plugins check resnet18
    """
    if context.invoked_subcommand is None:
        _list(as_json)


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="The list as JSON on standard output.")
def list_(as_json: bool) -> None:
    """List backbones and strategies (the same as `tl-advise plugins`)."""
    _list(as_json)


@command.command(name="check")
@click.argument("name")
@click.option(
    "--size", "size_px", type=click.IntRange(min=16, max=2048), metavar="PX", help="Input size of the checks."
)
@click.option("--fetch", is_flag=True, help="Fetch the weights first, if they are not on this disk.")
@click.option("--json", "as_json", is_flag=True, help="The checks as JSON on standard output.")
def check(name: str, size_px: int | None, fetch: bool, as_json: bool) -> None:
    """Look at every rule that a backbone or strategy promises to keep; exit code 3 where one does not hold.

    NAME is a backbone, a strategy, or a plugin (then all that it offers).

    \b
    Examples:
      tl-advise plugins check resnet18
      tl-advise plugins check full --json
    """
    from advisor import registry

    found = registry.load()
    plugin, names = _meant(found, name)
    checks = _run(found, plugin, names, size_px, offline=not fetch)
    if as_json:
        click.echo(json.dumps([{"of": of, **asdict(c)} for of, c in checks], indent=2))
    else:
        _tell(checks)
    failed = [f"{of}: {c.name}" for of, c in checks if not c.passed]
    if failed:
        raise CheckError(f"{len(failed)} of {len(checks)} checks did not hold; the first: {failed[0]}.")


def _meant(found: Registry, name: str) -> tuple[PluginInfo, tuple[str, ...]]:
    plugin = next((p for p in found.plugins if p.name == name), None)
    if plugin is None or name in (*found.backbones, *found.strategies):
        return found.plugin(name), (name,)
    if plugin.broken:
        raise CheckError(f"plugin {name} ({plugin.distribution} {plugin.version}) is disabled: {plugin.broken}.")
    return plugin, plugin.provides


def _run(
    found: Registry, plugin: PluginInfo, names: tuple[str, ...], size_px: int | None, *, offline: bool
) -> list[tuple[str, Check]]:
    from advisor import testing

    checks = [(plugin.name, testing.check_imports(plugin))]
    for name in names:
        click.echo(f"checking {name}", err=True)
        if name in found.backbones:
            done = testing.check_backbone(found.backbones[name], offline=offline, size_px=size_px)
        else:
            done = testing.check_strategy(found.strategies[name])
        checks += [(name, c) for c in done]
    return checks


def _tell(checks: list[tuple[str, Check]]) -> None:
    from advisor.cli import _console
    from advisor.cli._result_table import text

    table = _console.listing("", "of", "rule", "found")
    for of, check in checks:
        mark = "[green]holds[/green]" if check.passed else "[bold red]does not hold[/bold red]"
        table.add_row(mark, text(of), text(check.name), text(check.detail))
    _console.console().print(table)


# ---- the list ----------------------------------------------------------------------------------------------------


def _list(as_json: bool) -> None:
    from advisor import registry

    found = registry.load()
    rows = _rows(found)
    broken = [asdict(p) for p in found.plugins if p.broken]
    if as_json:
        click.echo(json.dumps({"plugins": rows, "broken": broken}, indent=2))
        return
    from advisor.cli import _console
    from advisor.cli._result_table import text

    table = _console.listing("name", "kind", "package", "version", "what it is")
    for row in rows:
        table.add_row(*(text(str(row[key])) for key in ("name", "kind", "distribution", "version", "what")))
    out = _console.console()
    out.print(table)
    for plugin in broken:
        told = f"{plugin['name']} ({plugin['distribution']} {plugin['version']}): {plugin['broken']}"
        out.print(f"[bold red]disabled[/bold red] {text(told)}")


def _rows(found: Registry) -> list[dict[str, Any]]:
    from advisor import plugin_validation

    rows: list[dict[str, Any]] = []
    for name, backbone in found.backbones.items():
        distribution, version = found.origin(name)
        accuracy = backbone.published_accuracy
        what = [f"{backbone.dim} features", f"{backbone.preprocess.size} px"]
        what += [f"{backbone.parameters / 1e6:.1f} M parameters"] if backbone.parameters else []
        what += [f"ImageNet {100 * accuracy:.1f} %"] if accuracy is not None else []
        rows.append(_row(name, "backbone", distribution, version, ", ".join(what)))
    for name, strategy in found.strategies.items():
        distribution, version = found.origin(name)
        what_ = f"{strategy.regime.replace('_', ' ')}: {plugin_validation.card(strategy).what}"
        rows.append(_row(name, "strategy", distribution, version, what_))
    return rows


def _row(name: str, kind: str, distribution: str, version: str, what: str) -> dict[str, Any]:
    return {"name": name, "kind": kind, "distribution": distribution, "version": version, "what": what}
