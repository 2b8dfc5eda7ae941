"""What to try next: known-good guesses, shortened second tries, paused trials that look better by now, then samples.

In: a contest whose probes are done, and what came of earlier proposals. Out: one candidate after another; None where
nothing more is worth a trial for now. Does NOT cover: running them (search.py), what things cost (costs.py).
"""

from __future__ import annotations

from collections import deque

from advisor.records import Candidate, Trial
from advisor.tuning import cost_model, epoch_budget, pruner
from advisor.tuning.portfolio import Entry, Portfolio, first_in_reach
from advisor.tuning.search_state import Contest

RESCORE_SHARE = 0.15  # of the budget, kept back for scoring the leaders again
PATIENCE = 24  # sampled trials in a row without a better one, after which more would only fit the validation images
DRAWS = 8  # of the sampler, for one candidate that is new and fits into the time


class Proposer:
    """Proposes candidates. Tell it which number each got (`begun`) and what came of it (`ended`)."""

    def __init__(self, contest: Contest, first: Candidate, places: list[tuple[str, int]]) -> None:
        self.contest = contest
        self.places = places
        self.portfolio = Portfolio(contest, first, places)
        self.again: deque[Entry] = deque()  # guesses that were too slow, to be tried once more, shortened
        self._proposed: Entry = []  # the guess that the last proposal was made from, on all of its places
        self._first_tries: dict[int, Entry] = {}
        self.usable = {
            n: s for n, s in contest.strategies.items() if all(s.applies(contest.context(*p)) is None for p in places)
        }

    def next(self) -> Candidate | None:
        """Give the next candidate; None where nothing is worth a trial unless one that is under way tells otherwise."""
        self._proposed = []
        if self._trials_left() <= 0:
            return None
        return self._shorter() or self._guess() or self._promoted() or self._sampled()

    def begun(self, number: int) -> None:
        """Learn under which number the last proposal runs."""
        if self._proposed:
            self._first_tries[number] = self._proposed

    def ended(self, trial: Trial) -> None:
        """Learn what came of a trial: what was given up as too slow has taught the true speed, a shorter one may fit."""
        entry = self._first_tries.pop(trial.number, None)
        if entry is not None and trial.needs_s:
            self.again.append(entry)

    def _trials_left(self) -> float:
        asked = self.contest.settings.trials
        return float("inf") if asked is None else asked - self.contest.study.counted

    def _shorter(self) -> Candidate | None:
        while self.again:
            shorter = (s for c in self.again.popleft() if (s := epoch_budget.shortened(self.contest, c)) is not None)
            chosen = next((s for s in shorter if not self.contest.study.tried(s)), None)
            if chosen is not None:
                return chosen
        return None

    def _guess(self) -> Candidate | None:
        found = self.portfolio.next()
        if found is None:
            return None
        self._proposed, chosen = found
        return chosen

    def _promoted(self) -> Candidate | None:
        """Go on with a paused trial that stands better among the others by now."""
        contest = self.contest
        found = pruner.promotion(contest.study.trials(), contest.study.candidates())
        return found if found is not None and cost_model.affordable(contest, found) else None

    def _sampled(self) -> Candidate | None:
        """Sample a candidate that is new and fits into the time; None where a few draws give none."""
        contest = self.contest
        if not self.usable or _stale(contest) >= PATIENCE or _late(contest):
            return None
        for attempt in range(DRAWS):
            drawn = contest.study.sample(self.places, self.usable, contest.context, attempt=attempt)
            candidate = first_in_reach(contest, [drawn])
            if candidate is not None and not contest.study.tried(candidate):
                return candidate
        return None


def _stale(contest: Contest) -> int:
    """Count the sampled trials since the last one that was better than all before it."""
    best, stale = min((p.log_loss for p in contest.probes), default=float("inf")), 0
    for trial in contest.study.trials():
        better = trial.state == "complete" and trial.log_loss < best
        best = min(best, trial.log_loss) if better else best
        stale = 0 if better or trial.candidate.origin != "sampled" else stale + 1
    return stale


def _late(contest: Contest) -> bool:
    """Whether what is left is needed for scoring the leaders again and for the end."""
    best = contest.best()
    if not contest.clocked or best is None:
        return False
    spare = RESCORE_SHARE * (contest.clock.asked_s or 0.0)
    return contest.clock.left_s - spare < cost_model.finish_s(contest, best.candidate)
