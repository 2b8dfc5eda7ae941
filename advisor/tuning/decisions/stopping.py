"""Why a search ended, and why a regime was not tried: numbers from the same predictions that the search decided by.

In: a `SearchState` at the end of the search, the guesses that were left. Out: `StoppedBecause`, `Untried`; their `text` states
what the numbers say. Pure. Does NOT cover: the decision itself (`portfolio`, `proposer`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from advisor.records import Candidate, StoppedBecause, Untried
from advisor.records.trials import REGIME_WORDS, REGIMES
from advisor.tuning import candidates, cost_model, epoch_budget, policy
from advisor.tuning.decisions import acquisition
from advisor.tuning.search_state import SearchState


@dataclass(frozen=True)
class Prospect:
    """A candidate that was not tried: `needs_s` for its shortest form with the end of the run; its expected gain as a share of
    the log-loss, and the probability of any gain.
    """

    candidate: Candidate
    needs_s: float
    expected_gain: float
    probability: float

    def fits(self, state: SearchState) -> bool:
        """Return True if it could be finished in the time left."""
        return not state.has_deadline or self.needs_s <= state.left_s

    @property
    def words(self) -> str:
        """Name it."""
        c = self.candidate
        return f"{c.strategy} on {c.backbone} at {c.size_px} px"


def prospect(state: SearchState, candidate: Candidate) -> Prospect:
    """Predict what a candidate needs and gains: whole if it fits, else in its shortest form."""
    whole = cost_model.fits_time(state, candidate)
    length = None if whole else epoch_budget.shortened(state, candidate)
    chosen = candidate if whole else length or epoch_budget.shortest(state, candidate)
    gain, probability = acquisition.expected_gain(state, chosen)
    return Prospect(chosen, _needs_s(state, chosen, fits=whole or length is not None), gain, probability)


def _needs_s(state: SearchState, candidate: Candidate, *, fits: bool) -> float:
    """Predict the seconds for a candidate with the end of the run; at most the time left if it was found to fit."""
    trains = state.trains_backbone(candidate)
    first = trains and not state.has_trained
    share = 1.0
    if trains:
        share = policy.FILL_SHARE_MEASURED if cost_model.has_pace(state, candidate) else policy.FILL_SHARE
    reserve_s = cost_model.reserve_s(state, candidate, refit=not first)
    needs_s = (cost_model.train_s(state, candidate, state.fold_images) + reserve_s) / share
    return min(needs_s, state.left_s) if fits else needs_s


def explain(state: SearchState, remaining: Iterable[Candidate], *, trials_left: float, stale: int) -> StoppedBecause:
    """Return why nothing more is tried: trials used up, no time, no prospect of a gain, or no gain for many trials."""
    if trials_left <= 0:
        return StoppedBecause(reason="trials", text=f"all {state.settings.trials} trials were used")
    prospects = [prospect(state, c) for c in remaining]
    fitting = [p for p in prospects if p.fits(state)]
    if fitting:
        best = max(fitting, key=lambda p: p.expected_gain)
        if best.expected_gain < policy.MIN_IMPROVEMENT:
            text = (
                f"no candidate that fits is expected to lower the log-loss by {100 * policy.MIN_IMPROVEMENT:.0f} %: the best, "
                f"{best.words}, by {100 * best.expected_gain:.1f} % (probability of any gain {100 * best.probability:.0f} %)"
            )
            return StoppedBecause("gain", text, expected_gain=best.expected_gain, probability=best.probability)
    if stale >= policy.PATIENCE_TRIALS:
        return StoppedBecause(reason="patience", text=f"{stale} sampled trials in a row brought no improvement")
    if prospects and not fitting:
        nearest = min(prospects, key=lambda p: p.needs_s)
        text = (
            f"none of the {len(prospects)} remaining candidates fits: the shortest, {nearest.words}, "
            f"{_shortfall(nearest.needs_s, state.left_s)}"
        )
        best = max(prospects, key=lambda p: p.expected_gain)
        return StoppedBecause("time", text, expected_gain=best.expected_gain, probability=best.probability)
    if state.has_deadline:
        return StoppedBecause(reason="time", text=_kept(state))
    return StoppedBecause(reason="nothing left", text="nothing remained to try")


def _kept(state: SearchState) -> str:
    """Name what the time left is kept for; or, if some is free, that no sampled candidate fits into it."""
    best, left_s = state.best(), max(0.0, state.left_s)
    if best is None:
        return f"{left_s:.0f} s were left"
    again_s, end_s = cost_model.rescoring_s(state), cost_model.finish_s(state, best.candidate)
    reserve = f"about {again_s:.0f} s are kept for re-evaluating the leaders and {end_s:.0f} s for the end of the run"
    if left_s < again_s + end_s:
        return f"of the {left_s:.0f} s left, {reserve}"
    return f"{left_s:.0f} s were left, of which {reserve}; no further candidate fits into the rest"


def untried(state: SearchState, stopped: StoppedBecause) -> tuple[Untried, ...]:
    """Explain, for each regime without a complete trial, what its most promising candidate needed and could gain."""
    complete = {t.regime for t in state.contenders()}
    reasons = []
    for name in REGIMES:
        strategies = {n: s for n, s in state.strategies.items() if s.regime == name}
        if name not in complete and strategies:
            reasons.append(_untried(state, name, _guesses(state, strategies), stopped))
    return tuple(reasons)


def _guesses(state: SearchState, strategies: Iterable[str]) -> list[Candidate]:
    """List the first guesses of these strategies wherever a probe was made."""
    at = dict.fromkeys(candidates.BackboneAtSize.of(p.candidate) for p in state.probes)
    plugins = {n: state.registry.strategy(n) for n in strategies}
    return [
        guess
        for backbone in at
        for guess in candidates.guesses(
            plugins, state.context(*backbone), backbone=backbone.name, size_px=backbone.size_px
        )
    ]


def _untried(state: SearchState, name: str, guesses: Sequence[Candidate], stopped: StoppedBecause) -> Untried:
    words = REGIME_WORDS[name]
    failed = [t for t in state.trials if t.regime == name]
    if failed:
        why = failed[-1].error or "it was stopped early"
        return Untried(regime=name, text=f"{words} has no result: {len(failed)} tried, the last one: {why}")
    if not guesses:
        return Untried(regime=name, text=f"{words} was not tried: none of its strategies applies to these data")
    prospects = [prospect(state, g) for g in guesses]
    fitting = [p for p in prospects if p.fits(state)]
    if not fitting:
        nearest = min(prospects, key=lambda p: p.needs_s)
        shortfall = _shortfall(nearest.needs_s, state.left_s)
        text = f"{words} was not tried: its shortest run, {nearest.words}, {shortfall}"
        return _numbers(state, name, nearest, text)
    best = max(fitting, key=lambda p: p.expected_gain)
    if stopped.reason == "gain" or best.expected_gain < policy.MIN_IMPROVEMENT:
        text = (
            f"{words} was not tried: its best candidate, {best.words}, was expected to lower the log-loss by "
            f"{100 * best.expected_gain:.1f} % (probability of any gain {100 * best.probability:.0f} %)"
        )
    else:
        text = f"{words} was not tried: {stopped.text}"
    return _numbers(state, name, best, text)


def _shortfall(needed_s: float, left_s: float) -> str:
    """Return what is needed and what was left, with as many digits as it takes to tell them apart."""
    for digits in (0, 1, 2):
        needed, left = f"{needed_s:.{digits}f} s", f"{max(0.0, left_s):.{digits}f} s"
        if needed != left:
            break
    return f"needs about {needed} with the end of the run, {left} were left"


def _numbers(state: SearchState, name: str, chosen: Prospect, text: str) -> Untried:
    if not state.has_deadline:
        return Untried(regime=name, text=text, expected_gain=chosen.expected_gain, probability=chosen.probability)
    return Untried(
        regime=name,
        text=text,
        needs_s=round(chosen.needs_s, 1),
        left_s=round(max(0.0, state.left_s), 1),
        expected_gain=chosen.expected_gain,
        probability=chosen.probability,
    )
