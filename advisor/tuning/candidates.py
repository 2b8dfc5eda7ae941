"""Which backbones, sizes and strategies compete, and in which order: pure decisions from cards, counts and the prior.

In: the regime's prior, the backbones whose weights can be reached, the data's own image size. Out: input sizes, the
untuned default (fixed before any measurement), probes, and the portfolio of known-good guesses, each with its origin.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from advisor.hooks import Backbone, Context, Strategy
from advisor.records import Candidate, Profile, Regime

# The strategy that stands for a regime before anything is measured. Full fine-tuning is the gentle one.
DEFAULT_STRATEGY = {"feature_extraction": "logistic", "partial": "partial", "full": "full"}
CLOSED_FORM, MANY = "ridge", 20_000
# The portfolio in the order of what each guess brought on the shared data (docs/advice.md, docs/strategies.md): heads cost
# nothing, then the gentle full fine-tune and its moving average, which nothing beat, then the cheap ways, then the rest.
PORTFOLIO = (
    "logistic",
    "full",
    "ema",
    "norm_only",
    "partial",
    "l2_sp",
    "gradual",
    "wise_ft",
    "lp_ft",
    "prototypes",
    "knn",
    "ridge",  # every probe is one
)
FEW_SHOT = ("prototypes", "logistic", "knn")
STEP_PX = 32
SMALLEST_PX = 64
REDUCED_SHARE, REDUCED_PX = 0.6, 96  # of a backbone's default size, and at least: 128 px beside 224


class BackboneAtSize(NamedTuple):
    """A backbone at one input size: where a probe is made, and what the sampler chooses among."""

    name: str
    size_px: int

    @staticmethod
    def of(candidate: Candidate) -> BackboneAtSize:
        """Return where a candidate is trained."""
        return BackboneAtSize(candidate.backbone, candidate.size_px)


def sizes(profile: Profile, backbone: Backbone, asked_px: int | None) -> tuple[int, ...]:
    """List input sizes worth probing, the images' own first: it is the untuned default's.

    Small originals gain from being enlarged to up to about three times their size, large ones lose little at the
    backbone's default; beyond it, cost grows and the weights were never there. Large ones are also probed at a smaller size:
    training costs a third there, so that it fits where at the default size only a head would.
    """
    if asked_px is not None:
        return (_whole_steps(asked_px, backbone),)
    default = backbone.preprocess.size
    short = min(profile.width.median, profile.height.median)
    near = max(min(SMALLEST_PX, default), -(-int(short) // STEP_PX) * STEP_PX)
    if near >= default:
        reduced = int(REDUCED_SHARE * default) // STEP_PX * STEP_PX
        return _distinct((default, reduced) if reduced >= REDUCED_PX else (default,), backbone)
    larger = min(default, -(-int(max(1.5 * near, 96)) // STEP_PX) * STEP_PX)
    return _distinct((near,) if larger <= near else (near, larger), backbone)


def _whole_steps(size_px: int, backbone: Backbone) -> int:
    """Round an input size to the nearest one that the backbone can take: whole patches, or its own size alone."""
    step = backbone.size_multiple
    return max(step, round(size_px / step) * step)


def _distinct(sizes_px: tuple[int, ...], backbone: Backbone) -> tuple[int, ...]:
    return tuple(dict.fromkeys(_whole_steps(size, backbone) for size in sizes_px))


def default_strategies(regime: Regime, strategies: Mapping[str, Strategy], images: int = 0) -> list[str]:
    """Name the strategy of the untuned default, then what stands in where it applies nowhere: the others of its regime."""
    name = DEFAULT_STRATEGY[regime.name]
    if regime.name == "feature_extraction" and images >= MANY and CLOSED_FORM in strategies:
        name = CLOSED_FORM
    same = sorted(n for n, s in strategies.items() if s.regime == regime.name)
    if name not in strategies:
        return same or sorted(strategies)[:1]
    return [name, *(n for n in ordered(same) if n != name)]


def selectable(
    strategies: Mapping[str, Strategy], named: Sequence[str], only_regime: str | None
) -> dict[str, Strategy]:
    """Select the strategies that may compete: those named, else all but the ones that run only where they are named."""
    if named:
        return {n: strategies[n] for n in named}
    selected = {n: s for n, s in strategies.items() if not getattr(s.card, "only_when_named", False)}
    if only_regime is not None:
        selected = {n: s for n, s in selected.items() if s.regime == only_regime}
    return selected


def ordered(names: Iterable[str], *, few_shot: bool = False) -> list[str]:
    """Order strategies as in the portfolio; third-party ones come after it, by name. Few shots: heads first."""
    order = [*FEW_SHOT, *(n for n in PORTFOLIO if n not in FEW_SHOT)] if few_shot else PORTFOLIO
    position = {name: i for i, name in enumerate(order)}
    return sorted(names, key=lambda n: (position.get(n, len(position)), n))


def guesses(
    strategies: Mapping[str, Strategy], context: Context, *, backbone: str, size_px: int, each: int = 1
) -> list[Candidate]:
    """List the first guesses of every strategy that applies, in portfolio order, `each` per strategy."""
    candidates = []
    for name in ordered(strategies):
        strategy = strategies[name]
        if strategy.applies(context) is not None:
            continue
        for number, parameters in enumerate(list(strategy.first_guesses(context))[:each]):
            label = f"guess: {name}" if number == 0 else f"guess: {name} {number + 1}"
            candidates.append(
                Candidate(backbone=backbone, strategy=name, parameters=dict(parameters), origin=label, size_px=size_px)
            )
    return candidates
