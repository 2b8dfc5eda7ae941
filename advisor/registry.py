"""Plugins: entry points of the group `tl_advise` -> backbones, strategies, layouts by name, and the broken ones with reasons.

Every entry point is loaded by itself, so that an import error, a wrong type or a name clash disables that plugin alone.
First-party plugins come through the same door; where names clash they keep theirs, and among third-party plugins the one
whose distribution sorts first does. `TL_ADVISE_PLUGINS=a,b` loads only these, `-a` leaves one out. No torch on this path.
Does NOT cover: whether a plugin keeps its promises (`testing`), whether weights lie ready (`models.pretrained_weights`).
"""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import metadata
from types import MappingProxyType

from advisor import hooks, plugin_guard, plugin_loading
from advisor.errors import BrokenPluginError, PluginError
from advisor.hooks import Backbone, Layout, Strategy
from advisor.plugin_loading import Resolver
from advisor.safe_text import printable

GROUP = hooks.PROJECT
VARIABLE = "TL_ADVISE_PLUGINS"
FIRST_PARTY = "tl-advise"
SLOW_S = 10.0  # after which a plugin that is still being loaded is named: nothing here can stop it
_INSTALL = "Install the project with `pip install .`, then look at `tl-advise plugins`."


@dataclass(frozen=True, kw_only=True)
class PluginInfo:
    """One entry point: what it provides, or why it is disabled (`broken`, "" where it works).

    `kind` is "backbones", "strategies", "layouts", "both" (of the first two) or "several"; `module` is what the entry point
    names.
    """

    name: str
    kind: str
    distribution: str
    version: str
    provides: tuple[str, ...] = ()
    broken: str = ""
    module: str = ""

    def __str__(self) -> str:
        return f"plugin {self.name} ({self.distribution})"


@dataclass(frozen=True, kw_only=True)
class Registry:
    """All that was found, by name, in the order of names."""

    backbones: Mapping[str, Backbone]
    strategies: Mapping[str, Strategy]
    plugins: tuple[PluginInfo, ...]
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)  # plugin -> distribution, installed but not to be loaded
    _origins: Mapping[str, PluginInfo] = field(default_factory=dict, repr=False)
    _resolvers: tuple[tuple[PluginInfo, Resolver], ...] = field(default=(), repr=False)
    _resolved: dict[str, tuple[Backbone, PluginInfo]] = field(default_factory=dict, repr=False)  # asked for before

    def backbone(self, name: str) -> Backbone:
        """Find a backbone by name, listed or resolved by a plugin. Raises PluginError with the nearest name."""
        if name in self.backbones:
            return self.backbones[name]
        if self._resolve(name):
            return self._resolved[name][0]
        raise _unknown(name, "backbone", self.backbones, self)

    def has_backbone(self, name: str) -> bool:
        """Return True if a plugin lists or resolves a backbone of this name. Raises PluginError as a resolver does."""
        return name in self.backbones or self._resolve(name)

    def strategy(self, name: str) -> Strategy:
        """Find a strategy by name. Raises PluginError with the nearest name."""
        if name in self.strategies:
            return self.strategies[name]
        raise _unknown(name, "strategy", self.strategies, self)

    def plugin(self, name: str) -> PluginInfo:
        """Find the plugin that provides a backbone or strategy of this name. Raises PluginError if none does."""
        if name in self._origins:
            return self._origins[name]
        if self._resolve(name):
            return self._resolved[name][1]
        raise _unknown(name, "backbone or strategy", {**self.backbones, **self.strategies}, self)

    def origin(self, name: str) -> tuple[str, str]:
        """Return (distribution, version) of the plugin that provides this backbone or strategy, for the recipe."""
        info = self.plugin(name)
        return info.distribution, info.version

    def at_revisions(self, revisions: Iterable[tuple[str, str]]) -> Registry:
        """Resolve names as plugins describe NAME@COMMIT, if they do. Raises PluginError where that is out of reach."""
        resolved = dict(self._resolved)
        for name, commit in revisions:
            try:
                is_resolved = name not in self.backbones and self._resolve(f"{name}@{commit}")
            except PluginError:
                if "@" in getattr(self.backbone(name).weights, "url", ""):
                    raise
                continue
            if is_resolved:
                resolved[name] = (
                    replace(self.backbone(f"{name}@{commit}"), name=name),
                    self.plugin(f"{name}@{commit}"),
                )
        return replace(self, _resolved=resolved)

    def remedy(self, distribution: str, version: str) -> str:
        """Return what makes the backbones and strategies of a distribution available that are not."""
        for plugin in self.plugins:
            if plugin.broken and plugin.distribution == distribution:
                return f"Plugin {plugin.name} is disabled ({plugin.broken}); `tl-advise plugins` shows all."
        omitted = ", ".join(name for name, owner in self.left_out.items() if owner == distribution)
        if omitted:
            return f"It is installed, but --block or {VARIABLE} leaves out its plugins {omitted}."
        return f"pip install {distribution}=={version}" if version else f"pip install {distribution}"

    def _resolve(self, name: str) -> bool:
        """Resolve a name that none of the plugins lists, once; return True if one knows it."""
        if name not in self._resolved:
            resolved, failed = [], []
            for info, resolver in self._resolvers:
                try:
                    backbone = resolver(name)
                except PluginError as error:
                    failed.append(error)
                else:
                    resolved += [] if backbone is None else [(backbone, info)]
            if failed and not resolved:
                raise failed[0]
            if len(resolved) > 1:
                first, second = resolved[0][1].name, resolved[1][1].name
                raise PluginError(
                    f'"{name}" is claimed by two plugins, {first} and {second}.', hint=f"Set {VARIABLE}=-{second}."
                )
            for backbone, info in resolved:
                listed = self.backbones.get(backbone.name, backbone)
                self._resolved.update({name: (listed, info), backbone.name: (listed, info)})
        return name in self._resolved


def _unknown(name: str, kind: str, offered: Mapping[str, object], registry: Registry) -> PluginError:
    article = "a" if kind[0] in "bs" else "an"
    if kind != "strategy" and name in registry.strategies:
        return PluginError(
            f'"{name}" is a strategy, not {article} {kind}.', hint=f"`tl-advise plugins` lists the {kind}s."
        )
    if kind != "backbone" and name in registry.backbones:
        return PluginError(f'"{name}" is a backbone, not {article} {kind}.', hint=f"Say --backbone {name}.")
    near = difflib.get_close_matches(name, offered, n=2, cutoff=0.6)
    disabled = [p for p in registry.plugins if p.broken]
    if near:
        hint = f"Did you mean {' or '.join(near)}?"
    elif disabled:
        hint = f"Plugin {disabled[0].name} is disabled ({disabled[0].broken}); `tl-advise plugins` shows all."
    else:
        hint = "`tl-advise plugins` shows all names." if offered else _INSTALL
    return PluginError(f'unknown {kind} "{name}".', hint=hint)


def load(
    *,
    select: Iterable[str] | None = None,
    block: Iterable[str] = (),
    entry_points: Iterable[metadata.EntryPoint] | None = None,
    guarded: bool = True,
) -> Registry:
    """Load all plugins that are installed, or only those of `select`, and none of `block` (entry-point names).

    The environment variable TL_ADVISE_PLUGINS narrows further. `entry_points` replaces what is installed (for tests and
    for embedding). `guarded`: what third-party networks and strategies raise is named with its plugin (`plugin_guard`).
    Raises PluginError where a selected plugin is not installed; a broken plugin never raises.
    """
    offered = metadata.entry_points(group=GROUP) if entry_points is None else entry_points
    ordered = sorted(offered, key=lambda e: (_distribution(e)[0] != FIRST_PARTY, _distribution(e)[0], e.name))
    selected, blocked = _choice(select, block)
    missing = sorted(selected - {e.name for e in ordered}) if selected is not None else []
    if missing:
        names = ", ".join(sorted({e.name for e in ordered})) or "none"
        raise PluginError(f'no plugin named "{missing[0]}" is installed (installed: {names}).', hint=f"See {VARIABLE}.")
    state = _State()
    is_chosen = {e.name: e.name not in blocked and (selected is None or e.name in selected) for e in ordered}
    for entry in ordered:
        if is_chosen[entry.name]:
            state = _admit(state, entry, guarded=guarded)
    return Registry(
        backbones=MappingProxyType(dict(sorted(state.backbones.items()))),
        strategies=MappingProxyType(dict(sorted(state.strategies.items()))),
        layouts=MappingProxyType(dict(sorted(state.layouts.items()))),
        plugins=tuple(sorted(state.plugins, key=lambda p: (p.name, p.distribution))),
        left_out=MappingProxyType({e.name: _distribution(e)[0] for e in ordered if not is_chosen[e.name]}),
        _origins=MappingProxyType(state.origins),
        _resolvers=state.resolvers,
    )


def third_party() -> Registry:
    """Load only plugins of other distributions: what data sets are read with, without the cost of our own."""
    offered = metadata.entry_points(group=GROUP)
    third_party = [entry for entry in offered if _distribution(entry)[0] != FIRST_PARTY]
    selected, _ = _choice(None, ())
    names = {entry.name for entry in third_party}
    chosen = [entry for entry in third_party if selected is None or entry.name in selected]
    if not (names and chosen):
        return Registry(backbones={}, strategies={}, plugins=())
    return load(select=names, entry_points=chosen)


def _choice(select: Iterable[str] | None, block: Iterable[str]) -> tuple[set[str] | None, set[str]]:
    words = [w.strip() for w in os.environ.get(VARIABLE, "").split(",") if w.strip()]
    chosen = {w for w in words if not w.startswith("-")}
    selected = None if select is None else set(select)
    if chosen:
        selected = chosen if selected is None else selected & chosen
    return selected, set(block) | {w[1:] for w in words if w.startswith("-")}


def _distribution(entry: metadata.EntryPoint) -> tuple[str, str]:
    return ("unknown", "unknown") if entry.dist is None else _name_and_version(entry.dist)


@lru_cache(maxsize=64)
def _name_and_version(distribution: metadata.Distribution) -> tuple[str, str]:
    """Read both once: a distribution parses its metadata anew whenever it is asked."""
    described = distribution.metadata
    return described["Name"], described["Version"]


# ---- one plugin --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _State:
    backbones: dict[str, Backbone] = field(default_factory=dict)
    strategies: dict[str, Strategy] = field(default_factory=dict)
    layouts: dict[str, Layout] = field(default_factory=dict)
    plugins: tuple[PluginInfo, ...] = ()
    origins: dict[str, PluginInfo] = field(default_factory=dict)
    resolvers: tuple[tuple[PluginInfo, Resolver], ...] = ()


def _admit(state: _State, entry: metadata.EntryPoint, *, guarded: bool) -> _State:
    distribution, version = _distribution(entry)
    info = PluginInfo(name=entry.name, kind="", distribution=distribution, version=version, module=entry.value)
    twin = next((p for p in state.plugins if p.name == entry.name), None)
    try:
        if twin is not None:
            raise BrokenPluginError(f"name clash: {twin.distribution} already offers a plugin named {entry.name}")
        with _named_if_slow(entry.name):
            offer = plugin_loading.load(entry)
        if guarded and distribution != FIRST_PARTY:
            offer = plugin_guard.guarded(offer, str(info))
        offered: list[Backbone | Strategy | Layout] = [*offer.backbones, *offer.strategies, *offer.layouts]
        _check_names(state, offered)
    except BrokenPluginError as reason:
        return replace(state, plugins=(*state.plugins, replace(info, broken=str(reason))))
    names = tuple(sorted(item.name for item in offered))
    info = replace(info, kind=offer.kind, provides=names)
    return _State(
        backbones={**state.backbones, **{b.name: b for b in offer.backbones}},
        strategies={**state.strategies, **{s.name: s for s in offer.strategies}},
        layouts={**state.layouts, **{a.name: a for a in offer.layouts}},
        plugins=(*state.plugins, info),
        origins={**state.origins, **dict.fromkeys(names, info)},
        resolvers=(*state.resolvers, (info, offer.resolver)) if offer.resolver is not None else state.resolvers,
    )


@contextlib.contextmanager
def _named_if_slow(plugin: str) -> Iterator[None]:
    name = printable(plugin)
    text = f"plugin {name} is still being loaded after {SLOW_S:g} s. Ctrl-C stops; {VARIABLE}=-{name} leaves it out.\n"
    timer = threading.Timer(SLOW_S, lambda: sys.stderr.write(text))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _check_names(state: _State, offered: Sequence[Backbone | Strategy | Layout]) -> None:
    seen: set[str] = set()
    for item in offered:
        if item.name in seen:
            raise BrokenPluginError(f'offers "{item.name}" twice')
        if item.name in state.origins:
            other = state.origins[item.name]
            raise BrokenPluginError(
                f'name clash: "{item.name}" is already offered by {other.name} ({other.distribution})'
            )
        seen.add(item.name)
