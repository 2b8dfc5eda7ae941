"""Which backbones can compete here: built in, cached, or to be fetched within the budget; and what was left out, and why.

In: the registry and what a person asked for. Out: reachable backbones, and for the others each reason, how many there are,
and the exact command that includes the most useful one. Never a silent random initialisation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from advisor.errors import InputError, WeightsError
from advisor.hooks import Backbone, Strategy
from advisor.models import pretrained_weights
from advisor.records import LeftOut, Settings
from advisor.registry import Registry
from advisor.runtime import device
from advisor.tuning import budget, candidates, policy, regime
from advisor.tuning.limits import fits_limits

KINDS = ("supervised", "self_supervised", "image_text")  # the order in which equals are taken
FREE_LICENCES = frozenset({"apache-2.0", "mit", "bsd-3-clause", "bsd-2-clause", "cc0-1.0", "cc-by-4.0"})


def find(
    registry: Registry, settings: Settings, strategies: Mapping[str, Strategy], *, searches: bool = False
) -> tuple[list[Backbone], list[LeftOut]]:
    """Sort backbones into those that compete and those left out, the latter folded by their reason.

    `searches`: the call is `advise`, which can also train from scratch; a hint may say so.

    Raises WeightsError where a named backbone is out of reach, or none is in reach; PluginError for unknown names.
    """
    named = [registry.backbone(name) for name in settings.backbones]
    if _only_from_scratch(strategies, settings):
        if not named:
            raise InputError(
                "--strategy scratch: which network?", hint="Name one, for example --backbone mobilenet_v2."
            )
        return named, []
    reachable: list[Backbone] = []
    downloadable: list[Backbone] = []
    left_out: list[LeftOut] = []
    for backbone in named or [registry.backbones[n] for n in sorted(registry.backbones)]:
        where = pretrained_weights.locate(backbone, weights_dir=settings.weights_dir, offline=settings.offline)
        if where.state in ("built_in", "cached"):
            reachable.append(backbone)
        elif where.state == "downloadable" and not settings.offline:
            downloadable.append(backbone)
        else:
            left_out.append(LeftOut(backbone=backbone.name, reason=where.reason, command=where.command))
    fetched = _worth_fetching(downloadable, settings, bool(named))
    for backbone in downloadable:
        if backbone not in fetched:
            left_out.append(_not_fetched(backbone, settings))
    reachable += fetched
    if named and left_out:
        first = left_out[0]
        raise WeightsError(
            f"--backbone {first.backbone}: {first.reason}.", hint=first.command and f"Try `{first.command}`."
        )
    if not reachable:
        raise _nothing(fold(left_out, registry.backbones, settings), searches)
    return reachable, fold(left_out, registry.backbones, settings)


def strategies(registry: Registry, settings: Settings) -> dict[str, Strategy]:
    """Return the strategies that may be used. Raises InputError where none is left, PluginError for unknown names."""
    requested = regime.override(regime.by_size(0, 1), settings.regime).name if settings.regime else None
    for name in settings.strategies:
        own = registry.strategy(name).regime
        if requested not in (None, own):
            text = f"--strategy {name} and --regime {requested}: the regime of {name} is {own}."
            raise InputError(text, hint="Leave one of them out.")
    usable = candidates.selectable(registry.strategies, settings.strategies, requested)
    if not usable:
        raise InputError("no strategy remains to choose from.", hint="See `tl-advise plugins`.")
    return usable


def _only_from_scratch(strategies: Mapping[str, Strategy], settings: Settings) -> bool:
    return bool(settings.strategies) and all(name == "scratch" for name in strategies)


def _worth_fetching(downloadable: Sequence[Backbone], settings: Settings, named: bool) -> list[Backbone]:
    answering = [b for b in downloadable if pretrained_weights.host_reachable(b)]
    if named:
        return answering
    budget_s = settings.budget_s or policy.UNBOUNDED_BUDGET_S
    room_bytes = min(policy.FETCH_SHARE * budget_s * policy.FETCH_BYTES_PER_S, policy.MAX_FETCH_BYTES * 2)
    small = [b for b in answering if _bytes(b) <= policy.MAX_FETCH_BYTES and not _restricting(b)]
    small = [b for b in small if fits_limits.may_fit(b, settings)]
    return shortlist(
        small,
        count=policy.MAX_FETCHES,
        room_bytes=room_bytes,
        most_macs=_most_macs(settings, policy.FETCH_SHARE),
    )


def _most_macs(settings: Settings, share: float) -> float:
    """Return the multiply-adds per image with which a pass over a typical pool takes this share of the budget."""
    budget_s = settings.budget_s or policy.UNBOUNDED_BUDGET_S
    one_mac_s = budget.extraction_s(policy.TYPICAL_IMAGES, 1.0, device.likely(settings.device))
    return share * budget_s / one_mac_s


def announce(backbones: Sequence[Backbone], settings: Settings) -> list[str]:
    """Return what a person should know before these are used: downloads with their size, and licences that restrict use."""
    notes = []
    for backbone in backbones:
        weights = pretrained_weights.as_weights(backbone)
        if weights is None:
            continue
        where = pretrained_weights.locate(backbone, weights_dir=settings.weights_dir, offline=settings.offline)
        if where.state == "downloadable":
            notes.append(f"downloading the weights of {backbone.name}: {weights.bytes / 1e6:.0f} MB")
        if _restricting(backbone):
            notes.append(f"{backbone.name}: its weights are under {weights.licence}, which may restrict use")
        if backbone.frozen_only:
            notes.append(
                f"{backbone.name}: {backbone.frozen_only}; its features are used as they are, nothing is trained"
            )
    return notes


def _not_fetched(backbone: Backbone, settings: Settings) -> LeftOut:
    reachable = not settings.offline and pretrained_weights.host_reachable(backbone)
    reason = (
        "not downloaded automatically"
        if reachable
        else "weights not downloaded, and the download server did not respond"
    )
    return LeftOut(backbone=backbone.name, reason=reason, command=f"tl-advise weights fetch {backbone.name}")


def fold(left_out: Sequence[LeftOut], backbones: Mapping[str, Backbone], settings: Settings) -> list[LeftOut]:
    """Return one row per reason, with the number of backbones; the one that is worth most stands for the others.

    Rows with a command come first, then in the order of worth.
    """
    ordered = by_worth([backbones[item.backbone] for item in left_out if item.backbone in backbones], settings)
    rank = {backbone.name: position for position, backbone in enumerate(ordered)}
    by_reason: dict[str, list[LeftOut]] = {}
    for item in sorted(left_out, key=lambda item: (not item.command, rank.get(item.backbone, len(rank)))):
        by_reason.setdefault(item.reason, []).append(item)
    size = {backbone.name: _bytes(backbone) for backbone in ordered}
    return [replace(items[0], count=len(items), bytes=size.get(items[0].backbone, 0)) for items in by_reason.values()]


def _nothing(left_out: Sequence[LeftOut], searches: bool) -> WeightsError:
    command = next((item.command for item in left_out if item.command), "tl-advise weights fetch mobilenet_v2")
    scratch = "; or ask for a network from scratch by name: --strategy scratch --backbone mobilenet_v2"
    return WeightsError(
        f"no pretrained weights can be reached ({sum(item.count for item in left_out)} backbones left out; the first: "
        f"{left_out[0].backbone}, {left_out[0].reason})."
        if left_out
        else "no backbone is installed.",
        hint=f"With a network, run `{command}`; or copy a file into a folder for --weights-dir{scratch if searches else ''}.",
    )


def narrow_choice(backbones: Sequence[Backbone], left_out: Sequence[LeftOut]) -> list[str]:
    """Return a warning if only the built-in backbone is available, else nothing."""
    built_in = [b for b in backbones if (w := pretrained_weights.as_weights(b)) is not None and w.path]
    if len(built_in) != len(backbones) or not left_out:
        return []
    command = left_out[0].command
    more = f"; `{command}` adds a stronger one" if command else ""
    return [f"the built-in backbone {built_in[0].name} was used because no other weights are available{more}"]


# ---- which weights are worth most -----------------------------------------------------------------------------------
# The best of each kind of pretraining comes first, so that at least two kinds meet the data where two fit: what transfers
# depends on the data more than ImageNet accuracy tells (no single score predicts it, Renggli et al. 2020,
# arXiv:2010.06402). Accuracies are compared within a kind only: zero-shot and linear ones differ by ten points. Those that
# agree to the point count as equal, and the network with fewer multiply-adds comes first.


def shortlist(backbones: Sequence[Backbone], *, count: int, room_bytes: float, most_macs: float) -> list[Backbone]:
    """Choose at most `count` backbones whose weights fit into `room_bytes` together and that are cheap enough.

    A backbone of unknown size in bytes is never chosen, one of unknown multiply-adds counts as too expensive.
    """
    affordable = [b for b in backbones if _bytes(b) and b.macs is not None and b.macs <= most_macs]
    ranked = {kind: _ranked([b for b in affordable if _kind(b) == kind], affordable) for kind in KINDS}
    chosen: list[Backbone] = []
    left_bytes = room_bytes
    while len(chosen) < count and any(ranked.values()):
        for kind in KINDS:
            queue = ranked[kind]
            fits = next((b for b in queue if _bytes(b) <= left_bytes), None)
            ranked[kind] = queue[queue.index(fits) + 1 :] if fits is not None else []
            if fits is not None and len(chosen) < count:
                chosen.append(fits)
                left_bytes -= _bytes(fits)
    return chosen


def by_worth(backbones: Sequence[Backbone], settings: Settings) -> list[Backbone]:
    """Order backbones by what each would add within the budget on this device: first what it affords, free to use."""
    most_macs = _most_macs(settings, policy.POOL_PASS_SHARE)
    free = [backbone for backbone in backbones if not _restricting(backbone)]
    ahead = shortlist(free, count=len(free), room_bytes=math.inf, most_macs=most_macs)
    names = {backbone.name for backbone in ahead}
    behind = [backbone for backbone in backbones if backbone.name not in names]
    return [*ahead, *sorted(behind, key=lambda b: (b.macs is None, b.macs or 0, b.name))]


def _restricting(backbone: Backbone) -> str:
    """Return the licence of the weights if it may restrict their use, else ""."""
    weights = pretrained_weights.as_weights(backbone)
    licence = weights.licence if weights is not None else ""
    return "" if licence.lower() in FREE_LICENCES or licence.startswith("unknown") else licence


def _kind(backbone: Backbone) -> str:
    return backbone.pretraining or "supervised"


def _bytes(backbone: Backbone) -> int:
    weights = pretrained_weights.as_weights(backbone)
    return weights.bytes if weights is not None else 0


def _ranked(same_kind: Sequence[Backbone], everything: Sequence[Backbone]) -> list[Backbone]:
    slope, offset = _line(same_kind if any(_published(b) is not None for b in same_kind) else everything)
    value = {}
    for backbone in same_kind:
        stated = _published(backbone)
        value[backbone.name] = slope * math.log(backbone.macs or 1) + offset if stated is None else stated
    return sorted(same_kind, key=lambda b: (-round(value[b.name], 2), b.macs or 0, b.name))


def _published(backbone: Backbone) -> float | None:
    return backbone.published_accuracy if backbone.transfer_accuracy is None else backbone.transfer_accuracy


def _line(backbones: Sequence[Backbone]) -> tuple[float, float]:
    """Fit published accuracy over the logarithm of multiply-adds by least squares; return (slope, offset)."""
    points = [(math.log(b.macs), stated) for b in backbones if b.macs and (stated := _published(b)) is not None]
    if not points:
        return 0.0, 0.0
    logs, accuracies = np.array(points).T
    if len(points) < 2 or np.ptp(logs) == 0:
        return 0.0, float(accuracies.mean())
    slope, offset = np.polyfit(logs, accuracies, 1)
    return float(slope), float(offset)
