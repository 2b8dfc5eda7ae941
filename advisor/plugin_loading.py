"""One entry point -> what its plugin offers: imported, registered, asked, and checked, each plugin by itself.

In: an entry point. Out: a `PluginContents`, or BrokenPluginError with the reason, whatever the plugin's code does. Does NOT
cover: clashes between plugins (`registry`), the rules of each field (`plugin_validation`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import pluggy

from advisor import hooks, plugin_validation
from advisor.errors import BrokenPluginError, PluginError
from advisor.hooks import Backbone, Layout, Strategy
from advisor.runtime.process import third_party

Resolver = Callable[[str], Backbone | None]
BY_PLUGIN = "Name a plugin, not a network or a strategy: see `tl-advise plugins`."


@dataclass(frozen=True, kw_only=True)
class PluginContents:
    """What one plugin offers."""

    backbones: tuple[Backbone, ...]
    strategies: tuple[Strategy, ...]
    layouts: tuple[Layout, ...]
    resolver: Resolver | None

    @property
    def kind(self) -> str:
        """The kind of a plugin, as the list of plugins names it."""
        kinds = {"backbones": self.backbones or self.resolver, "strategies": self.strategies, "layouts": self.layouts}
        offered = [name for name, items in kinds.items() if items]
        if len(offered) == 1:
            return offered[0]
        return "both" if offered == ["backbones", "strategies"] and self.backbones else "several"


def check_installed(names: Iterable[str]) -> None:
    """Raise PluginError for the name of a plugin that is not installed, which would otherwise leave out nothing."""
    named = set(names)
    if not named:  # reading the entry points of all that is installed takes time
        return
    installed = {entry.name for entry in metadata.entry_points(group=hooks.PROJECT)}
    missing = sorted(named - installed)
    if missing:
        listed = ", ".join(sorted(installed)) or "none"
        raise PluginError(f'no plugin named "{missing[0]}" is installed (installed: {listed}).', hint=BY_PLUGIN)


def load(entry: metadata.EntryPoint) -> PluginContents:
    """Import, register and ask one plugin. Raises BrokenPluginError with the reason, whatever its code does.

    What it prints goes to standard error.
    """
    with third_party.contained():
        return _load(entry)


def _load(entry: metadata.EntryPoint) -> PluginContents:
    try:
        plugin = entry.load()
    except (Exception, SystemExit) as error:
        raise BrokenPluginError(f"cannot be imported: {plugin_validation.one_line(error)}") from error
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    try:
        manager.register(plugin, name=entry.name)
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError, TypeError) as error:
        raise BrokenPluginError(f"wrong hook: {plugin_validation.one_line(error)}") from error
    if not manager.get_hookcallers(plugin):
        raise BrokenPluginError(
            "offers nothing: no function marked @hookimpl is named advisor_backbones, advisor_strategies or advisor_layouts"
        )
    folder = _folder(plugin)
    backbones = [
        plugin_validation.backbone(b, folder) for b in _ask(manager.hook.advisor_backbones, "advisor_backbones")
    ]
    strategies = [plugin_validation.strategy(s) for s in _ask(manager.hook.advisor_strategies, "advisor_strategies")]
    layouts = [plugin_validation.layout(a) for a in _ask(manager.hook.advisor_layouts, "advisor_layouts")]
    resolve = manager.hook.advisor_resolve_backbone
    resolver = partial(_resolved, resolve, entry.name, folder) if resolve.get_hookimpls() else None
    if not (backbones or strategies or layouts or resolver):
        raise BrokenPluginError("offers nothing: its hooks give empty lists")
    return PluginContents(
        backbones=tuple(backbones), strategies=tuple(strategies), layouts=tuple(layouts), resolver=resolver
    )


def _resolved(hook: Any, plugin: str, folder: Path | None, name: str) -> Backbone | None:
    """Resolve a name that one plugin does not list. Raises PluginError, its own or one about its fault."""
    try:
        with third_party.contained():
            backbone = next((b for b in hook(name=name) if b is not None), None)
        return None if backbone is None else plugin_validation.backbone(backbone, folder)
    except PluginError:
        raise
    except BrokenPluginError as reason:
        raise PluginError(f'plugin {plugin} answers "{name}" with a broken {reason}.') from reason
    except (Exception, SystemExit) as error:
        raise PluginError(f'plugin {plugin} failed on "{name}": {plugin_validation.one_line(error)}.') from error


def _ask(hook: Any, name: str) -> list[object]:
    try:
        replies = hook()
        wrong = next((r for r in replies if isinstance(r, str) or not isinstance(r, Iterable)), None)
        if wrong is None:
            return [item for reply in replies for item in reply]  # of a generator its code runs only now
    except (Exception, SystemExit) as error:
        raise BrokenPluginError(f"{name}() failed: {plugin_validation.one_line(error)}") from error
    raise BrokenPluginError(f"{name}() gave a {type(wrong).__name__}, expected a list")


def _folder(plugin: object) -> Path | None:
    file = getattr(plugin, "__file__", None)
    return Path(file).parent if isinstance(file, str) else None
