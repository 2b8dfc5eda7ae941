"""What a plugin hands over, checked field by field: a third-party object -> a `Backbone` or `Strategy`, or why not.

An object need not be made from our classes: whatever has the members of `hooks.Backbone` or `hooks.Strategy` will do.
A backbone comes out as a plain `Backbone` (lists become tuples, a path becomes absolute), so the core meets one type.
Does NOT cover: anything that needs torch, such as whether the prefixes cover the network (`advisor.testing`).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from advisor.errors import BrokenPluginError
from advisor.hooks import Backbone, Card, Layout, Preprocess, Stage, Strategy, Weights, build_nothing
from advisor.records import recipe_file
from advisor.records.trials import REGIMES
from advisor.runtime.process.plain_values import is_finite, plain

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_BACKBONE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+:@/-]*")  # COLLECTION/NAME, as on the hubs
_PRETRAINING = ("", "supervised", "self_supervised", "image_text")
_BACKBONE_CALLS: dict[str, tuple[str, ...]] = {
    "build": (),
    "load_state": ("module", "tensors"),
    "run_stage": ("module", "i", "x"),
    "pool": ("module", "i", "x"),
    "build_source_head": (),
}
BUILT_IN_LAYOUTS = frozenset(
    "folders splits class_first manifest metadata kaggle names webdataset huggingface parquet".split()  # noqa: SIM905
)
_LAYOUT_CALLS = {"recognise": ("path", "options"), "read": ("path", "options"), "example": ("folder",)}
_STRATEGY_CALLS: dict[str, tuple[str, ...]] = {
    "applies": ("context",),
    "space": ("trial", "context"),
    "first_guesses": ("context",),
    "plan": ("parameters", "context"),
}


def one_line(error: BaseException) -> str:
    """Return an exception as one line of at most 200 characters, its type first, for the author of a plugin."""
    text = " ".join(str(error).split())
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return line if len(line) <= 200 else line[:197] + "..."


# ---- backbones ---------------------------------------------------------------------------------------------------


def backbone(offered: object, folder: Path | None = None) -> Backbone:
    """Check a backbone and rebuild it as a plain `Backbone`; relative paths of weights start at `folder`.

    Raises BrokenPluginError naming the backbone, the field, what it holds and what was expected.
    """
    name = _name(offered, "backbone")
    try:
        _need(offered, ("dim", "stages", "preprocess", "build"))
        members: dict[str, Any] = {
            "dim": _count("dim", _get(offered, "dim")),
            "stages": _stages(_get(offered, "stages")),
            "preprocess": _preprocess(_get(offered, "preprocess")),
            "weights": _weights(_get(offered, "weights"), folder),
            "published_accuracy": _fraction("published_accuracy", _get(offered, "published_accuracy")),
            "source": str(_get(offered, "source") or ""),
            "size_multiple": _count("size_multiple", _get(offered, "size_multiple") or 1),
            "frozen_only": str(_get(offered, "frozen_only") or ""),
            "pretraining": _pretraining(_get(offered, "pretraining") or ""),
            "transfer_accuracy": _fraction("transfer_accuracy", _get(offered, "transfer_accuracy")),
        }
        for number in ("parameters", "macs"):
            value = _get(offered, number)
            members[number] = None if value is None else _count(number, value, least=0)
        members.update(
            _calls(offered, _BACKBONE_CALLS, optional=("load_state", "run_stage", "pool", "build_source_head"))
        )
        if members["build"] is build_nothing:
            raise BrokenPluginError("does not define how it is built: pass build=... or define build()")
    except BrokenPluginError as reason:
        raise BrokenPluginError(f"backbone {name}: {reason}") from None
    return Backbone(name=name, **members)


def _pretraining(value: Any) -> str:
    if value not in _PRETRAINING:
        raise BrokenPluginError(f"pretraining is {value!r}, expected one of {', '.join(_PRETRAINING[1:])}, or nothing")
    return str(value)


def _stages(value: Any) -> tuple[Stage, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise BrokenPluginError(f"stages is {value!r}, expected a tuple of Stage from stem to head")
    stages = tuple(_stage(s) for s in value)
    if not stages:
        raise BrokenPluginError("stages is empty, expected at least one Stage")
    names = [s.name for s in stages]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice:
        raise BrokenPluginError(f'two stages are named "{twice}"')
    return stages


def _stage(value: Any) -> Stage:
    name, prefixes = _get(value, "name"), _get(value, "prefixes")
    if not isinstance(name, str) or not name:
        raise BrokenPluginError(f"stages holds {value!r}, expected Stage(name=..., prefixes=(...,))")
    if isinstance(prefixes, str):
        raise BrokenPluginError(f'stage {name}: prefixes is the text "{prefixes}", expected a tuple: ("{prefixes}",)')
    if not isinstance(prefixes, Iterable):
        raise BrokenPluginError(f"stage {name}: prefixes is {prefixes!r}, expected a tuple of names")
    listed = tuple(plain(prefix) for prefix in prefixes)
    if not listed or not all(isinstance(p, str) and p for p in listed):
        raise BrokenPluginError(f"stage {name}: prefixes is {listed!r}, expected at least one name, all of them text")
    return Stage(name=name, prefixes=listed)


def _preprocess(value: Any) -> Preprocess:
    fields = [_get(value, n) for n in ("size", "resize", "interpolation", "mean", "std")]
    if any(f is None for f in fields):
        raise BrokenPluginError(f"preprocess is {value!r}, expected Preprocess(size=..., resize=..., ...)")
    size, resize, interpolation, mean, std = fields
    if interpolation not in INTERPOLATIONS:
        expected = ", ".join(INTERPOLATIONS)
        raise BrokenPluginError(f"preprocess.interpolation is {interpolation!r}, expected one of {expected}")
    channels = {"mean": _three("preprocess.mean", mean), "std": _three("preprocess.std", std)}
    if min(channels["std"]) <= 0:
        raise BrokenPluginError(f"preprocess.std is {std!r}, expected numbers above 0")
    return Preprocess(
        size=_count("preprocess.size", size),
        resize=_count("preprocess.resize", resize),
        interpolation=interpolation,
        mean=channels["mean"],
        std=channels["std"],
    )


def _three(field: str, value: Any) -> tuple[float, float, float]:
    channels = [plain(v) for v in value] if isinstance(value, Sequence) else []
    if len(channels) != 3 or not all(_is_number(v) and is_finite(v) for v in channels):
        raise BrokenPluginError(f"{field} is {value!r}, expected three numbers (red, green, blue)")
    return (float(channels[0]), float(channels[1]), float(channels[2]))


def _weights(offered: Any, folder: Path | None) -> Weights | None:
    if offered is None:
        return None
    if isinstance(offered, (str, Path)):
        offered = Weights(path=str(offered))
    if not isinstance(offered, Weights):
        raise BrokenPluginError(f"weights is {offered!r}, expected Weights(...), a path or None")
    value: Weights = replace(offered, **{name: plain(member) for name, member in vars(offered).items()})
    for field in ("file", "url", "sha256_prefix", "licence", "path", "package"):
        if not isinstance(getattr(value, field), str):
            raise BrokenPluginError(f"weights.{field} is {getattr(value, field)!r}, expected text")
    if not re.fullmatch(r"[0-9a-f]{0,64}", value.sha256_prefix):
        raise BrokenPluginError(f'weights.sha256_prefix is "{value.sha256_prefix}", expected up to 64 of 0-9a-f')
    if value.url and not value.url.startswith(("http://", "https://", "hf://")):
        raise BrokenPluginError(f'weights.url is "{value.url}", expected one that starts with https:// or hf://')
    if value.file and Path(value.file).name != value.file:
        raise BrokenPluginError(f'weights.file is "{value.file}", expected a file name without folders')
    if not value.path:
        if not value.file or not value.url:
            raise BrokenPluginError("weights has neither a path nor both file and url")
        return value
    path = Path(value.path)
    if not path.is_absolute():
        if folder is None:
            raise BrokenPluginError(f'weights.path is "{value.path}", expected an absolute path')
        path = folder / path
    return replace(value, path=str(path), file=value.file or path.name)


# ---- strategies --------------------------------------------------------------------------------------------------


def strategy(offered: object) -> Strategy:
    """Check a strategy's members; the object itself is kept. Raises BrokenPluginError that names what is wrong."""
    name = _name(offered, "strategy")
    try:
        _need(offered, ("regime", "card", *_STRATEGY_CALLS))
        regime = _get(offered, "regime")
        if regime not in REGIMES:
            raise BrokenPluginError(f"regime is {regime!r}, expected one of {', '.join(REGIMES)}")
        member = _get(offered, "card")
        if not isinstance(member, (Card, str)):
            raise BrokenPluginError(f"card is {member!r}, expected a Card or text")
        fault = recipe_file.fault_of_card(member) if isinstance(member, Card) else ""
        if fault:
            raise BrokenPluginError(fault)
        _calls(offered, _STRATEGY_CALLS)
    except BrokenPluginError as reason:
        raise BrokenPluginError(f"strategy {name}: {reason}") from None
    return offered  # type: ignore[return-value]  # checked member by member just above


def card(strategy: Strategy) -> Card:
    """Return a strategy's card, whether it was written as a Card or as a plain sentence."""
    return Card(what=strategy.card, when="") if isinstance(strategy.card, str) else strategy.card


# ---- layouts -----------------------------------------------------------------------------------------------------


def layout(item: object) -> Layout:
    """Check a layout's members; the object itself is kept. Raises BrokenPluginError that names what is wrong."""
    name = _name(item, "layout")
    try:
        if name in BUILT_IN_LAYOUTS:
            raise BrokenPluginError("the name is that of a built-in layout")
        _need(item, tuple(_LAYOUT_CALLS))
        _calls(item, _LAYOUT_CALLS)
    except BrokenPluginError as reason:
        raise BrokenPluginError(f"layout {name}: {reason}") from None
    return item  # type: ignore[return-value]  # checked member by member just above


# ---- pieces ------------------------------------------------------------------------------------------------------


def _get(offered: object, member: str) -> Any:
    try:
        return plain(getattr(offered, member, None))
    except Exception as error:
        raise BrokenPluginError(f"reading {member} failed: {one_line(error)}") from error


def _name(offered: object, kind: str) -> str:
    if isinstance(offered, type):
        raise BrokenPluginError(f"offers the class {offered.__name__} as a {kind}, expected an instance of it")
    name = _get(offered, "name")
    pattern = _BACKBONE_NAME if kind == "backbone" else _NAME
    if not isinstance(name, str) or not pattern.fullmatch(name):
        raise BrokenPluginError(
            f"offers a {kind} ({type(offered).__name__}) whose name is {name!r}, expected letters, digits and _ . + -"
        )
    return name


def _need(offered: object, members: Sequence[str]) -> None:
    missing = [m for m in members if _get(offered, m) is None]
    if missing:
        raise BrokenPluginError(f"lacks {', '.join(missing)}")


def _calls(
    offered: object, signatures: dict[str, tuple[str, ...]], optional: Sequence[str] = ()
) -> dict[str, Callable[..., Any]]:
    calls = {}
    for name, arguments in signatures.items():
        function = _get(offered, name)
        if function is None and name in optional:
            continue
        if not callable(function):
            raise BrokenPluginError(f"{name} is {function!r}, expected a function")
        if not _accepts(function, arguments):
            call = f"{name}({', '.join(arguments)})"
            raise BrokenPluginError(f"{name}{inspect.signature(function)} cannot be called as {call}")
        calls[name] = function
    return calls


def _accepts(function: Callable[..., Any], arguments: tuple[str, ...]) -> bool:
    """Return True if a function takes these arguments. What many networks share, with facts bound to it, is read once."""
    inner = function if isinstance(function, partial) else partial(function)
    base, bound, names = inner.func, inner.args, tuple(inner.keywords)
    return (_binds if isinstance(base, Hashable) else _binds.__wrapped__)(base, len(bound), names, arguments)


@lru_cache(maxsize=512)
def _binds(function: Callable[..., Any], bound: int, names: tuple[str, ...], arguments: tuple[str, ...]) -> bool:
    try:
        inspect.signature(function).bind(*[None] * bound, *arguments, **dict.fromkeys(names))
    except (TypeError, ValueError) as error:  # ValueError: a builtin that states none; the conformance kit calls it
        return isinstance(error, ValueError)
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _count(field: str, value: Any, *, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise BrokenPluginError(f"{field} is {value!r}, expected a whole number, {least} or more")
    return value


def _fraction(field: str, value: Any) -> float | None:
    if value is None:
        return None
    if not _is_number(value) or not 0 <= value <= 1:
        raise BrokenPluginError(f"{field} is {value!r}, expected a fraction between 0 and 1 (or None)")
    return float(value)
