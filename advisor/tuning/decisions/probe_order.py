"""Which backbones and sizes are probed, in which order; and from the probes the untuned default and what the search visits.

In: a `SearchState`. Out: the next probe; the untuned default, fixed before the first trial; a shortlist. Every backbone is
probed at its cheapest size first, then larger sizes of those that lead. Pure. Does NOT cover: making probes (`probes`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from advisor.errors import InputError
from advisor.hooks import Backbone
from advisor.records import Candidate, Regime, Trial
from advisor.records.trials import DEFAULT
from advisor.tuning import budget, candidates, cost_model, epoch_budget, policy
from advisor.tuning.candidates import BackboneAtSize
from advisor.tuning.decisions import acquisition
from advisor.tuning.search_state import SearchFacts, SearchState


def pass_costs(facts: SearchFacts, backbones: Sequence[Backbone]) -> dict[BackboneAtSize, float]:
    """Predict from cards the seconds of one pass over the pool, for every backbone and size."""
    return {
        BackboneAtSize(b.name, size): budget.extraction_s(
            facts.images, budget.at_size(b.macs, b.preprocess.size, size), facts.device
        )
        for b in backbones
        for size in facts.sizes[b.name]
    }


def predicted_s(state: SearchState, at: BackboneAtSize, card_s: float) -> float:
    """Predict the seconds of a probe, by measured speeds where there is a deadline."""
    return card_s * (state.speeds.slowdown * state.speeds.passes.ratio(at.name) if state.has_deadline else 1.0)


def next_probe(
    state: SearchState, waiting: Collection[BackboneAtSize], card_s: Mapping[BackboneAtSize, float]
) -> BackboneAtSize:
    """Choose the cheapest among backbones without a probe, else the cheapest size of the backbone that leads."""
    leaders = {at.name: math.inf for at in waiting}
    for probe in state.probes:
        name = probe.candidate.backbone
        leaders[name] = min(leaders.get(name, math.inf), probe.loss)
    unknown = [at for at in waiting if math.isinf(leaders[at.name])]
    if unknown:
        return min(unknown, key=lambda at: (card_s[at], at))
    return min(waiting, key=lambda at: (leaders[at.name], card_s[at], at))


def is_worth_more(state: SearchState, at: BackboneAtSize, needed_s: float) -> bool:
    """Return True if a larger size of the leading backbone may go over the probes' share: on few images, where heads mostly
    win, a head on it gains more than anything else does in its time.
    """
    if not state.has_deadline or state.regime.prior != "feature_extraction":
        return False
    leader = min(state.probes, key=lambda p: p.rank).candidate.backbone if state.probes else ""
    return at.name == leader and needed_s <= policy.LEADER_PROBE_SHARE * (state.left_s - budget.FINISH_S)


def limit_s(state: SearchState) -> float | None:
    """Return the seconds that a probe may take: what finishing with the best so far leaves; None for the first one.

    On a machine that became busy the probes' share of the budget alone would go past the end.
    """
    return _room_s(state) if state.has_deadline and state.probes else None


def _room_s(state: SearchState) -> float:
    """Predict the seconds that finishing with the best so far leaves, negative where it does not fit any more."""
    best = state.best()
    return state.left_s - (cost_model.finish_s(state, best.candidate) if best is not None else budget.FINISH_S)


def next_skipped(
    state: SearchState, skipped: Sequence[BackboneAtSize], card_s: Mapping[BackboneAtSize, float]
) -> BackboneAtSize | None:
    """Choose the most promising skipped probe that fits into a share of the time left; None if none fits."""
    room_s = policy.SKIPPED_PROBE_SHARE * _room_s(state)
    waiting = [at for at in skipped if state.has_deadline and not state.is_left_out(at)]
    waiting = [at for at in waiting if predicted_s(state, at, card_s[at]) <= room_s]
    return next_probe(state, set(waiting), card_s) if waiting else None


def default(state: SearchState, backbones: Sequence[Backbone]) -> Candidate:
    """Return the untuned default: the prior regime's first guess on the backbone and size with the best affordable probe.

    Probes within `PROBE_TIE` of each other tie; published accuracy decides then. Searching and refitting take about two
    trainings, which must fit into `DEFAULT_WORK_SHARE` of the budget; otherwise a requested regime takes the best one whose
    shortened training fits, the free search the head of a frozen backbone. The free search takes that head, too, where the
    regime fits only on another network than the best and is expected to end behind the head there: nobody would choose it.
    Raises InputError if no strategy that may be used applies to any of the backbones.
    """
    forced = state.settings.regime is not None
    places = _by_probe(state, backbones)
    for regime_name in dict.fromkeys((state.regime.name, *(() if forced else ("feature_extraction",)))):
        guesses = _default_guesses(state, places, replace(state.regime, name=regime_name))
        affordable = [g for g in guesses if _is_affordable_default(state, g)]
        if affordable and not forced and _is_behind_head(state, affordable[0], places):
            continue
        if not affordable and (forced or regime_name == "feature_extraction"):
            affordable = [g for g in guesses if epoch_budget.shortened(state, g) is not None] or sorted(
                guesses, key=lambda g: cost_model.card_s(state, g, state.images)
            )
        if affordable:
            return affordable[0]
    every_guess = [_first_guess(state, at, n) for n in candidates.ordered(state.strategies) for at in places]
    if not forced and any(every_guess):  # of another regime than the data suggest
        return next(g for g in every_guess if g is not None)
    raise InputError(f"no strategy that may be used applies here: {_why_not(state, backbones[0])}.")


def _is_behind_head(state: SearchState, guess: Candidate, places: Sequence[BackboneAtSize]) -> bool:
    """Return True for a guess on another network than the best that is expected to end behind the head there."""
    heads = _default_guesses(state, places, replace(state.regime, name="feature_extraction"))
    if guess.backbone == places[0].name or not state.trains_backbone(guess) or not heads:
        return False
    return acquisition.expected_loss_of(state, guess) > acquisition.expected_loss_of(state, heads[0])


def _default_guesses(state: SearchState, places: Sequence[BackboneAtSize], regime: Regime) -> list[Candidate]:
    """List the first guesses of the default strategy; where it applies nowhere, those of another of the same regime."""
    for name in candidates.default_strategies(regime, state.strategies, state.images):
        guesses = [g for at in places if (g := _first_guess(state, at, name)) is not None]
        if guesses:
            return guesses
    return []


def _by_probe(state: SearchState, backbones: Sequence[Backbone]) -> list[BackboneAtSize]:
    """Rank backbones and sizes by their best probe, by published accuracy among ties; unprobed ones last, by accuracy."""
    losses = best_probes(state.probes)
    published = {b.name: b.published_accuracy or 0.0 for b in backbones}
    waiting = sorted(losses, key=lambda at: (losses[at], at))
    ranked: list[BackboneAtSize] = []
    while waiting:
        chosen = waiting[0]
        if published.get(chosen.name):  # against an unknown accuracy the lower log-loss stands
            ties = [at for at in waiting if losses[at] <= (1 + policy.PROBE_TIE) * losses[chosen]]
            chosen = max(ties, key=lambda at: (published.get(at.name, 0.0), -losses[at]))
        ranked.append(chosen)
        waiting.remove(chosen)
    sizes = {
        b.name: [at for px in state.sizes[b.name] if not state.is_left_out(at := BackboneAtSize(b.name, px))]
        for b in backbones
    }
    unprobed = [places[0] for places in sizes.values() if places]
    return [*ranked, *sorted((at for at in unprobed if at not in losses), key=lambda at: (-published[at.name], at))]


def _is_affordable_default(state: SearchState, guess: Candidate) -> bool:
    if state.settings.budget_s is None:
        return True
    if not cost_model.fits_time(state, guess):  # with the end of the run: a mirrored head passes the test images twice
        return False
    return 2.0 * cost_model.train_s(state, guess, state.images) <= policy.DEFAULT_WORK_SHARE * state.settings.budget_s


def _why_not(state: SearchState, backbone: Backbone) -> str:
    context = state.context(backbone.name, state.sizes[backbone.name][0])
    reasons = ((name, strategy.applies(context)) for name, strategy in state.strategies.items())
    return "; ".join(f"{name}: {reason}" for name, reason in reasons if reason)


def _first_guess(state: SearchState, at: BackboneAtSize, strategy: str) -> Candidate | None:
    guesses = candidates.guesses(
        {strategy: state.registry.strategy(strategy)}, state.context(*at), backbone=at.name, size_px=at.size_px
    )
    return replace(guesses[0], origin=DEFAULT) if guesses else None


def best_probes(probes: Iterable[Trial]) -> dict[BackboneAtSize, float]:
    """Return the lowest log-loss of the probes of every backbone and size."""
    best: dict[BackboneAtSize, float] = {}
    for probe in probes:
        at = BackboneAtSize.of(probe.candidate)
        best[at] = min(best.get(at, math.inf), probe.loss)
    return best


def shortlist(state: SearchState) -> list[BackboneAtSize]:
    """Rank backbones and sizes by their best probe: all sizes of the best few and of the most accurate published one."""
    best = best_probes(state.probes)
    ranked = sorted(best, key=lambda at: (best[at], at))
    names = list(dict.fromkeys(at.name for at in ranked))
    published = max(names, key=lambda n: (state.registry.backbone(n).published_accuracy or 0.0, n), default=None)
    chosen = {*names[: policy.SHORTLIST], published}
    return [at for at in ranked if at.name in chosen]
