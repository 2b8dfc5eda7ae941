"""What to try next: known-good guesses, shortened second tries, paused trials that rank better by now, then samples.

In: a run whose probes are done, and the ends of earlier proposals. Out: one candidate after another; None where nothing
more is worth a trial for now. Does NOT cover: running them (search.py), what things cost (cost_model.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from advisor.records import Candidate, StoppedBecause, Trial
from advisor.tuning import cost_model, epoch_budget, policy, probes, pruner, stopping
from advisor.tuning.candidates import BackboneAtSize
from advisor.tuning.portfolio import Entry, Portfolio, expected_gain, first_that_fits
from advisor.tuning.search_run import SearchRun
from advisor.tuning.search_state import SearchState


class Proposer:
    """Proposes candidates. Report to it which number each got (`begun`) and how it ended (`ended`)."""

    def __init__(self, run: SearchRun, first: Candidate, backbones: Sequence[BackboneAtSize]) -> None:
        self.run = run
        self.backbones = list(backbones)
        self.portfolio = Portfolio(run, first, backbones)
        self.again: deque[Entry] = deque()  # guesses that were too slow, to be tried once more, shortened
        self._proposed: Entry = []  # the guess that the last proposal was made from, on all of its backbones
        self._first_tries: dict[int, Entry] = {}
        contexts = [run.state().context(*at) for at in backbones]
        self.usable = {
            n: s for n, s in run.facts.strategies.items() if all(s.applies(context) is None for context in contexts)
        }

    def next(self) -> Candidate | None:
        """Return the next candidate; None where nothing is worth a trial unless one that is under way changes that."""
        self._proposed = []
        if self._trials_left() <= 0:
            return None
        return self._shorter() or self._guess() or self._promoted() or self._sampled() or self._longer()

    def add(self, at: BackboneAtSize) -> None:
        """Take a backbone and size into the search that was probed later."""
        if at in probes.shortlist(self.run.state()):
            self.portfolio.add(at)

    def stopped(self) -> StoppedBecause:
        """Return why nothing more is proposed."""
        state = self.run.state()
        return stopping.explain(state, self.portfolio.left(), trials_left=self._trials_left(), stale=_stale(state))

    def begun(self, number: int) -> None:
        """Learn under which number the last proposal runs."""
        if self._proposed:
            self._first_tries[number] = self._proposed

    def ended(self, trial: Trial) -> None:
        """Learn how a trial ended: what was given up as too slow has shown the true speed, a shorter one may fit."""
        entry = self._first_tries.pop(trial.number, None)
        if entry is not None and trial.needs_s:
            self.again.append(entry)

    def _trials_left(self) -> float:
        limit = self.run.facts.settings.trials
        return float("inf") if limit is None else limit - self.run.study.counted

    def _shorter(self) -> Candidate | None:
        state = self.run.state()
        while self.again:
            shorter = (s for c in self.again.popleft() if (s := epoch_budget.shortened(state, c)) is not None)
            chosen = next((s for s in shorter if not self.run.study.tried(s)), None)
            if chosen is not None:
                return chosen
        return None

    def _guess(self) -> Candidate | None:
        guess = self.portfolio.next()
        if guess is None:
            return None
        self._proposed, chosen = guess
        return chosen

    def _promoted(self) -> Candidate | None:
        """Continue a paused trial that ranks better among the others by now."""
        candidate = pruner.promotion(self.run.study.trials(), self.run.study.candidates())
        if candidate is None or not cost_model.affordable(self.run.state(), candidate):
            return None
        return candidate

    def _sampled(self) -> Candidate | None:
        """Sample a candidate that is new and fits into the time; None where a few draws give none."""
        state = self.run.state()
        if not self.usable or _stale(state) >= policy.PATIENCE_TRIALS or _late(state):
            return None
        for attempt in range(policy.SAMPLER_DRAWS):
            drawn = self.run.study.sample(self.backbones, self.usable, state.context, attempt=attempt)
            candidate = first_that_fits(self.run, state, [drawn])
            if candidate is not None and not self.run.study.tried(candidate):
                return candidate
        return None

    def _longer(self) -> Candidate | None:
        """Train the best trained candidate for longer, if time is left and its expected gain is worth it."""
        state = self.run.state()
        trained = [t for t in state.trials if t.state == "complete" and t.steps and "epochs" in t.candidate.parameters]
        best = min(trained, key=lambda t: t.rank, default=None)
        if best is None or not state.has_deadline:
            return None
        epochs = float(best.candidate.parameters["epochs"])
        whole = replace(epoch_budget.of_epochs(best.candidate, policy.LONGER * epochs), origin="longer", continues=None)
        candidate = epoch_budget.fitted(state, _within_card(self.run, whole))
        if candidate is None or candidate.parameters["epochs"] < policy.LEAST_LONGER * epochs:
            return None
        if self.run.study.tried(candidate) or expected_gain(state, candidate)[0] < policy.MIN_IMPROVEMENT:
            return None
        return candidate


def _within_card(run: SearchRun, candidate: Candidate) -> Candidate:
    """Limit the epochs to the range on the strategy's card."""
    card = run.facts.strategy_of(candidate).card
    high = next((p.high for p in getattr(card, "parameters", ()) if p.name == "epochs" and p.high is not None), None)
    epochs = candidate.parameters["epochs"]
    return candidate if high is None or epochs <= high else epoch_budget.of_epochs(candidate, float(high))


def _stale(state: SearchState) -> int:
    """Count the sampled trials since the last one that was better than all before it."""
    best, stale = min((p.loss for p in state.probes), default=float("inf")), 0
    for trial in state.trials:
        better = trial.state == "complete" and trial.loss < best
        best = min(best, trial.loss) if better else best
        stale = 0 if better or trial.candidate.origin != "sampled" else stale + 1
    return stale


def _late(state: SearchState) -> bool:
    """Return True if the time left is needed for re-evaluating the leaders and for the end."""
    best = state.best()
    if not state.has_deadline or best is None:
        return False
    spare_s = policy.RESCORING_SHARE * (state.settings.budget_s or 0.0)
    return state.left_s - spare_s < cost_model.finish_s(state, best.candidate)
