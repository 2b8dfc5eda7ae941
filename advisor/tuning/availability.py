"""Which backbones can compete here: built in, cached, or to be fetched within the budget; and what was left out, and why.

In: the registry and what a person asked for. Out: reachable backbones, and for every other one its reason and the exact
command that would let it compete. Never a silent random initialisation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from advisor.errors import InputError, WeightsError
from advisor.hooks import Backbone, Strategy
from advisor.models import pretrained_weights
from advisor.records import LeftOut, Settings
from advisor.registry import Registry
from advisor.tuning import policy


def find(
    registry: Registry, settings: Settings, strategies: Mapping[str, Strategy]
) -> tuple[list[Backbone], list[LeftOut]]:
    """Sort backbones into those that compete and those left out.

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
            f"--backbone {first.backbone}: {first.reason}", hint=first.command and f"Try `{first.command}`."
        )
    if not reachable:
        raise _nothing(left_out)
    accuracy = {name: backbone.published_accuracy or 0.0 for name, backbone in registry.backbones.items()}
    return reachable, sorted(left_out, key=lambda item: (-accuracy.get(item.backbone, 0.0), item.backbone))


def _only_from_scratch(strategies: Mapping[str, Strategy], settings: Settings) -> bool:
    return bool(settings.strategies) and all(name == "scratch" for name in strategies)


def _worth_fetching(downloadable: Sequence[Backbone], settings: Settings, named: bool) -> list[Backbone]:
    if not downloadable or not pretrained_weights.network_reachable():
        return []
    if named:
        return list(downloadable)
    room = policy.FETCH_SHARE * (settings.budget_s or policy.UNBOUNDED_BUDGET_S) * policy.FETCH_BYTES_PER_S
    small = [b for b in downloadable if 0 < getattr(b.weights, "bytes", 0) <= min(room, policy.MAX_FETCH_BYTES)]
    return sorted(small, key=lambda b: (-(b.published_accuracy or 0.0), b.name))[: policy.MAX_FETCHES]


def _not_fetched(backbone: Backbone, settings: Settings) -> LeftOut:
    reachable = not settings.offline and pretrained_weights.network_reachable()
    reason = (
        "not downloaded automatically"
        if reachable
        else "weights not downloaded, and the download server did not respond"
    )
    return LeftOut(backbone=backbone.name, reason=reason, command=f"tl-advise weights fetch {backbone.name}")


def _nothing(left_out: Sequence[LeftOut]) -> WeightsError:
    command = next((item.command for item in left_out if item.command), "tl-advise weights fetch mobilenet_v2")
    return WeightsError(
        f"no pretrained weights can be reached ({len(left_out)} backbones left out; the first: "
        f"{left_out[0].backbone}, {left_out[0].reason})."
        if left_out
        else "no backbone is installed.",
        hint=f"With a network, run `{command}`; or copy a file into --weights-dir; or ask for a network from scratch "
        "by name: --strategy scratch --backbone mobilenet_v2.",
    )


def narrow_choice(backbones: Sequence[Backbone], left_out: Sequence[LeftOut]) -> list[str]:
    """Return a warning if only the built-in backbone is available, else nothing."""
    built_in = [b for b in backbones if (w := pretrained_weights.as_weights(b)) is not None and w.path]
    if len(built_in) != len(backbones) or not left_out:
        return []
    best = next((item for item in left_out if item.backbone == "mobilenet_v2"), left_out[0])
    return [
        f"the built-in backbone {built_in[0].name} was used because no other weights are available; "
        f"`{best.command}` adds a stronger one"
    ]
