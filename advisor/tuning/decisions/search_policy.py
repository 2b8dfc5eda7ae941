"""A whole search as a sequence of decisions: which probe, which trial, whose pace to measure, when to stop.

In: a `SearchState` at each moment. Out: the next step. Nothing here runs, waits or reads a clock: a search on this machine
(`search`) and a simulation on recorded trainings (benchmarks/search) make the same decisions from the same state.
Does NOT cover: where a sampled candidate is drawn from, which is passed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from advisor.hooks import Backbone
from advisor.records import Candidate, StoppedBecause
from advisor.tuning import policy
from advisor.tuning.candidates import BackboneAtSize
from advisor.tuning.decisions import probe_order
from advisor.tuning.decisions.portfolio import MeasurePace
from advisor.tuning.decisions.proposer import Draw, Proposer
from advisor.tuning.search_state import SearchFacts, SearchState


@dataclass(frozen=True)
class MakeProbe:
    """Probe this backbone and size; `card_s` are the seconds that cards predict for its pass, `limit_s` what it may take."""

    at: BackboneAtSize
    card_s: float
    limit_s: float | None = None


@dataclass(frozen=True)
class BeginTrial:
    """Begin a trial of this candidate."""

    candidate: Candidate


Step = MakeProbe | MeasurePace | BeginTrial


class SearchPolicy:
    """Decides one search. Its own state is what it proposed; everything measured comes with the `SearchState`."""

    def __init__(self, facts: SearchFacts, backbones: Sequence[Backbone], draw: Draw) -> None:
        self.backbones = backbones
        self.draw = draw
        self.card_s = probe_order.pass_costs(facts, backbones)
        self.allowed_s = policy.PROBES_SHARE * (facts.settings.budget_s or policy.UNBOUNDED_BUDGET_S)
        self.waiting = set(self.card_s)
        self.skipped: list[BackboneAtSize] = []
        self._spent_s = 0.0  # predicted, so that a resumed search skips what the first one skipped
        self._late: BackboneAtSize | None = None  # the skipped probe that is being made
        self._proposer: Proposer | None = None

    def next_probe(self, state: SearchState) -> MakeProbe | None:
        """Return the next probe within the probes' share of the budget, at least one; what does not fit is `skipped`.

        Every backbone is probed at its cheapest size first, the cheapest backbone first; then the larger sizes, in the order
        of the backbones' best probes.
        """
        while self.waiting:
            at = probe_order.next_probe(state, self.waiting, self.card_s)
            self.waiting.remove(at)
            needed_s = probe_order.predicted_s(state, at, self.card_s[at])
            over = self._spent_s > 0 and self._spent_s + needed_s > self.allowed_s
            room_s = probe_order.limit_s(state)
            late = room_s is not None and needed_s > room_s
            made = state.has_probe_at(at) or state.is_left_out(
                at
            )  # by an earlier process: not skipped, whatever was left
            if not made and (late or (over and not probe_order.is_worth_more(state, at, needed_s))):
                self.skipped.append(at)
                continue
            self._spent_s += needed_s
            if not made:
                return MakeProbe(at, self.card_s[at], probe_order.limit_s(state))
        return None

    def next(self, state: SearchState, *, idle: bool) -> Step | None:
        """Return the next step after the probes; None where nothing is worth a trial unless one under way changes that.

        `idle`: no trial is under way. Then a probe that was skipped is made before the search ends.
        """
        proposer = self.proposer(state)
        if self._late is not None and state.has_probe_at(self._late):
            proposer.add(state, self._late)
        self._late = None
        proposed = proposer.next(state)
        if isinstance(proposed, Candidate):
            return BeginTrial(proposed)
        if proposed is not None or not idle:
            return proposed
        self._late = probe_order.next_skipped(state, self.skipped, self.card_s)
        if self._late is None:
            return None
        self.skipped.remove(self._late)
        return MakeProbe(self._late, self.card_s[self._late], probe_order.limit_s(state))

    def proposer(self, state: SearchState) -> Proposer:
        """Return what proposes trials. The untuned default is fixed at the first call, or was by an earlier process."""
        if self._proposer is None:
            first = state.begun[0] if state.begun else probe_order.default(state, self.backbones)
            shortlist = probe_order.shortlist(state) or [BackboneAtSize.of(first)]
            self._proposer = Proposer(state, first, shortlist, self.draw)
        return self._proposer

    def reconsider(self) -> None:
        """Propose anew: the strategies are others by now."""
        self._proposer = None

    def stopped(self, state: SearchState) -> StoppedBecause:
        """Return why nothing more is proposed."""
        return self.proposer(state).stopped(state)
