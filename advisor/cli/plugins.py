"""`tl-advise plugins`: list backbones, strategies and layouts with their packages, show one, check one.

No torch in the list and in what `show` prints.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from advisor.cli import _options
from advisor.errors import CheckError
from advisor.runtime.process import third_party

if TYPE_CHECKING:
    from advisor.hooks import Backbone, Parameter
    from advisor.registry import PluginInfo, Registry
    from advisor.testing import Check


@click.group(name="plugins", invoke_without_command=True)
@_options.as_json("Print the list as JSON on standard output.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List networks, strategies and layouts with the package of each, and disabled plugins with the reason.

    TL_ADVISE_PLUGINS=a,b loads only the plugins a and b, TL_ADVISE_PLUGINS=-a loads all but a.

    \b
    Examples:
      tl-advise plugins
      tl-advise plugins show full
      tl-advise plugins check resnet18
    """
    if context.invoked_subcommand is None:
        _list(as_json)


@command.command(name="list")
@_options.as_json("Print the list as JSON on standard output.")
def list_(as_json: bool) -> None:
    """List backbones and strategies (the same as `tl-advise plugins`)."""
    _list(as_json)


@command.command(name="show")
@click.argument("name")
@_options.as_json("Print the description as JSON on standard output.")
def show(name: str, as_json: bool) -> None:
    """Show a strategy with its parameters, a network or a layout.

    NAME is a strategy, a network or a layout. Of a strategy: what it does, when to use it, its parameters and its source.
    Parameters are set with --set in `tl-advise lr-find` and `tl-advise distill`.

    \b
    Examples:
      tl-advise plugins show full
      tl-advise plugins show mobilenet_v2 --json
    """
    from advisor import plugin_validation, registry
    from advisor.cli import _console

    plugins = registry.load()
    if name not in plugins.strategies:
        is_layout = name in plugins.layouts
        facts = _layout_facts(plugins, name) if is_layout else _network_facts(plugins.backbone(name))
        _console.as_json({"name": name, **facts}) if as_json else _print_facts(name, facts)
        return
    card = plugin_validation.card(plugins.strategies[name])
    facts = {
        "regime": plugins.strategies[name].regime.replace("_", " "),
        "what": card.what,
        "when": card.when,
        "measured": card.measured,
        "paper": card.paper,
    }
    if as_json:
        _console.record_as_json({"name": name, **facts, "parameters": card.parameters})
        return
    _print_facts(name, facts)
    rows = [(p.name, str(p.default), _range(p), p.meaning) for p in card.parameters]
    if rows:
        _console.say("")
        _console.print_columns(("parameter", "default", "range", "meaning"), rows, fold=3)


def _layout_facts(plugins: Registry, name: str) -> dict[str, str]:
    """Return what a layout's author says of it, and its package."""
    return {"layout": _first_line(plugins, name), "package": " ".join(plugins.origin(name))}


def _first_line(plugins: Registry, layout: str) -> str:
    return (type(plugins.layouts[layout]).__doc__ or "").strip().partition("\n")[0]


def _network_facts(backbone: Backbone) -> dict[str, str]:
    """Return the facts of a network in words; "" where one is unknown."""
    weights = backbone.weights
    return {
        "features": str(backbone.dim),
        "input size": f"{backbone.preprocess.size} px",
        "parameters": f"{backbone.parameters / 1e6:.1f} M" if backbone.parameters else "",
        "multiply-adds": f"{backbone.macs / 1e9:.2f} G per image" if backbone.macs else "",
        "ImageNet": f"{100 * backbone.published_accuracy:.1f} % (published)" if backbone.published_accuracy else "",
        "stages": ", ".join(stage.name for stage in backbone.stages),
        "weights": "" if weights is None else weights if isinstance(weights, str) else weights.file,
        "licence": "" if weights is None or isinstance(weights, str) else weights.licence,
        "source": backbone.source,
    }


def _print_facts(name: str, facts: dict[str, str]) -> None:
    from advisor.cli import _console

    table = _console.facts()
    for label, value in facts.items():
        if value:
            table.add_row(label, _console.text(value, longest=2000))
    _console.say(name)
    _console.console().print(table)


def _range(parameter: Parameter) -> str:
    """Return the legal values of a parameter."""
    if parameter.choices:
        return ", ".join(map(str, parameter.choices))
    return (
        f"{parameter.low:g} to {parameter.high:g}" if parameter.low is not None and parameter.high is not None else ""
    )


@command.command(name="check")
@click.argument("name")
@click.option(
    "--size", "size_px", type=click.IntRange(min=16, max=2048), metavar="PX", help="Input size of the checks."
)
@click.option("--fetch", is_flag=True, help="Download the weights first, if they are not available locally.")
@_options.as_json("Print the checks as JSON on standard output.")
def check(name: str, size_px: int | None, fetch: bool, as_json: bool) -> None:
    """Check that a plugin meets its contract.

    NAME is a backbone, a strategy, a layout, or a plugin (then everything that it provides is checked). The exit code is 3
    if a check fails.

    \b
    Examples:
      tl-advise plugins check resnet18
      tl-advise plugins check full --json
    """
    from advisor import registry
    from advisor.cli import _console

    plugins = registry.load(guarded=False)
    plugin, names = _meant(plugins, name)
    with third_party.contained():
        checks = _run(plugins, plugin, names, size_px, offline=not fetch)
    if as_json:
        _console.as_json([{"of": of, **asdict(c)} for of, c in checks])
    else:
        _print_checks(checks)
    failed = [f"{of}: {c.name}" for of, c in checks if not c.passed]
    if failed:
        raise CheckError(f"{len(failed)} of {len(checks)} checks failed; the first: {failed[0]}.")


def _meant(plugins: Registry, name: str) -> tuple[PluginInfo, tuple[str, ...]]:
    plugin = next((p for p in plugins.plugins if p.name == name), None)
    if plugin is None or name in (*plugins.backbones, *plugins.strategies, *plugins.layouts):
        return plugins.plugin(name), (name,)
    if plugin.broken:
        raise CheckError(f"plugin {name} ({plugin.distribution} {plugin.version}) is disabled: {plugin.broken}.")
    return plugin, plugin.provides


def _run(
    plugins: Registry, plugin: PluginInfo, names: tuple[str, ...], size_px: int | None, *, offline: bool
) -> list[tuple[str, Check]]:
    from advisor import testing
    from advisor.cli import _console

    checks = [(plugin.name, testing.check_imports(plugin))]
    for name in names:
        _console.say(f"checking {name}", stderr=True)
        if name in plugins.strategies:
            done = testing.check_strategy(plugins.strategies[name])
        elif name in plugins.layouts:
            done = testing.check_layout(plugins.layouts[name])
        else:
            done = testing.check_backbone(plugins.backbone(name), offline=offline, size_px=size_px)
        checks += [(name, c) for c in done]
    return checks


def _print_checks(checks: list[tuple[str, Check]]) -> None:
    from advisor.cli import _console

    table = _console.listing("", "of", "rule", "details")
    for of, check in checks:
        mark = "[green]passed[/green]" if check.passed else "[bold red]failed[/bold red]"
        table.add_row(mark, _console.text(of), _console.text(check.name), _console.text(check.detail))
    _console.console().print(table)


# ---- the list ----------------------------------------------------------------------------------------------------


def _list(as_json: bool) -> None:
    from advisor import registry
    from advisor.cli import _console

    plugins = registry.load()
    rows = _rows(plugins)
    broken = [asdict(p) for p in plugins.plugins if p.broken]
    if as_json:
        _console.as_json({"plugins": rows, "broken": broken})
        return

    for distribution, version in sorted({(row["distribution"], row["version"]) for row in rows}):
        _console.say(f"{distribution} {version}")
        names = [row["name"] for row in rows if (row["distribution"], row["version"]) == (distribution, version)]
        _print_networks(plugins, [name for name in names if name in plugins.backbones])
        _print_strategies(plugins, [name for name in names if name in plugins.strategies])
        _print_layouts(plugins, [name for name in names if name in plugins.layouts])
    for plugin in broken:
        line = f"{plugin['name']} ({plugin['distribution']} {plugin['version']}): {plugin['broken']}"
        _console.console().print(f"[bold red]disabled[/bold red] {_console.text(line, longest=2000)}")


def _print_networks(plugins: Registry, names: list[str]) -> None:
    from advisor.cli import _console

    rows = []
    for name in names:
        backbone = plugins.backbones[name]
        parameters = f"{backbone.parameters / 1e6:.1f} M" if backbone.parameters else "-"
        accuracy = "-" if backbone.published_accuracy is None else f"{100 * backbone.published_accuracy:.1f} %"
        rows.append((name, str(backbone.dim), str(backbone.preprocess.size), parameters, accuracy))
    if rows:
        _console.say("")
        _console.print_columns(
            ("network", "features", "px", "parameters", "ImageNet"), rows, fold=0, right=(1, 2, 3, 4)
        )
        _console.say("")


def _print_strategies(plugins: Registry, names: list[str]) -> None:
    from advisor import plugin_validation
    from advisor.cli import _console

    chosen = [plugins.strategies[name] for name in names]
    rows = [(s.name, s.regime.replace("_", " "), plugin_validation.card(s).what) for s in chosen]
    if rows:
        _console.print_columns(("strategy", "regime", "description"), rows, fold=2)
        _console.say("")


def _print_layouts(plugins: Registry, names: list[str]) -> None:
    from advisor.cli import _console

    rows = [(name, _first_line(plugins, name)) for name in names]
    if rows:
        _console.print_columns(("layout", "description"), rows, fold=1)
        _console.say("")


def _rows(plugins: Registry) -> list[dict[str, Any]]:
    from advisor import plugin_validation

    rows: list[dict[str, Any]] = []
    for name, backbone in plugins.backbones.items():
        distribution, version = plugins.origin(name)
        accuracy = backbone.published_accuracy
        what = [f"{backbone.dim} features", f"{backbone.preprocess.size} px"]
        what += [f"{backbone.parameters / 1e6:.1f} M parameters"] if backbone.parameters else []
        what += [f"ImageNet {100 * accuracy:.1f} %"] if accuracy is not None else []
        rows.append(_row(name, "backbone", distribution, version, ", ".join(what)))
    for name, strategy in plugins.strategies.items():
        distribution, version = plugins.origin(name)
        what_ = f"{strategy.regime.replace('_', ' ')}: {plugin_validation.card(strategy).what}"
        rows.append(_row(name, "strategy", distribution, version, what_))
    for name in plugins.layouts:
        rows.append(_row(name, "layout", *plugins.origin(name), _first_line(plugins, name)))
    return rows


def _row(name: str, kind: str, distribution: str, version: str, what: str) -> dict[str, Any]:
    return {"name": name, "kind": kind, "distribution": distribution, "version": version, "what": what}
