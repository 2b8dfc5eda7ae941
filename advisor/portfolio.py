"""Known-good guesses, one after another: in a fixed order without a clock, else by what they promise in the time left.

In: a contest whose probes are done. Out: the next guess on the places where it may be tried. With a clock, what costs
next to nothing comes first; then whatever is expected to reach the lowest log-loss in the time that is left, shortened
where it must be, the first training on the network of the highest published accuracy. What is expected to stay behind
the best that is there is left to the samples.
Does NOT cover: samples and second tries (proposals.py), the expectation (promise.py).
"""

from __future__ import annotations

import math

from advisor import candidates, length, promise
from advisor.contest import Contest
from advisor.records import Candidate

CHEAP = 0.06  # of the time left: what costs less is tried before anything is weighed
HOPE = 1.1  # over the best log-loss so far: what is expected above it is not worth a trial of its own
NEAR = 1.25  # over the lowest expectation: up to there the first training goes to the most accurate network
HEADS_EACH, DEEP_EACH = 3, 2  # guesses of one strategy; without a clock one of each that is trained

Entry = list[Candidate]  # one guess on one place after another, the first that is in reach is tried


class Portfolio:
    """The guesses that were not tried yet."""

    def __init__(self, contest: Contest, first: Candidate, places: list[tuple[str, int]]) -> None:
        self.contest = contest
        self.waiting: list[Entry] = [[first], *_entries(contest, places)]
        self.begun = False

    def next(self) -> tuple[Entry, Candidate] | None:
        """Take the next guess: its entry, and the candidate of it that is in reach; None where none is left."""
        while self.waiting:
            position = 0 if not self.begun or not self.contest.clocked else self._best()
            self.begun = True
            if position is None:
                self.waiting.clear()
                return None
            entry = self.waiting.pop(position)
            chosen = first_in_reach(self.contest, entry)
            if chosen is not None:
                return entry, chosen
        return None

    def _best(self) -> int | None:
        """Say which guess comes next; None where all are expected to stay behind."""
        options = []
        for position, entry in enumerate(self.waiting):
            chosen = first_in_reach(self.contest, entry)
            if chosen is None:
                continue
            if self._costs_nothing(chosen):
                return position
            options.append((self._expected(chosen), position))
        if not options:
            return None
        expected, position = min(options)
        if self.contest.is_deep(self.waiting[position][0]) and not self.contest.has_trained:
            expected, position = self._on_the_most_accurate([o for o in options if o[0] <= NEAR * expected])
        best = self.contest.best()
        if best is None or expected <= HOPE * best.log_loss:
            return position
        return None if self.contest.has_trained or not self.contest.is_deep(self.waiting[position][0]) else position

    def _on_the_most_accurate(self, options: list[tuple[float, int]]) -> tuple[float, int]:
        """Take the training of the network of the highest published accuracy: where a search begins to train.

        How linearly a network shows the classes says less about what training makes of it than its published accuracy
        (Kornblith et al. 2019): on 1,000 sketches SqueezeNet had the better probe by 0.06, and MobileNetV2 won by 0.04.
        """
        deep = [o for o in options if self.contest.is_deep(self.waiting[o[1]][0])]
        return min(deep, key=lambda o: (-self._published(self.waiting[o[1]][0]), o))

    def _published(self, candidate: Candidate) -> float:
        return self.contest.registry.backbone(candidate.backbone).published_accuracy or -math.inf

    def _costs_nothing(self, candidate: Candidate) -> bool:
        frozen = not self.contest.is_deep(candidate)
        return frozen and self.contest.train_s(candidate, self.contest.images) <= CHEAP * self.contest.clock.left_s

    def _expected(self, chosen: Candidate) -> float:
        strategy = self.contest.strategies_of(chosen)
        context = self.contest.context(chosen.backbone, chosen.size_px)
        steps = strategy.plan(chosen.parameters, context).steps if self.contest.is_deep(chosen) else 0
        return promise.expected(chosen, strategy.regime, steps, self.contest.probes, self.contest.study.trials())


def first_in_reach(contest: Contest, entry: Entry) -> Candidate | None:
    """Take the first candidate that was not tried and can be finished in time; else the first that can if shortened."""
    fresh = [c for c in entry if not contest.study.tried(c)]
    whole = next((c for c in fresh if contest.affordable(c)), None)
    return whole or next((s for c in fresh if (s := length.shortened(contest, c)) is not None), None)


def _entries(contest: Contest, places: list[tuple[str, int]]) -> list[Entry]:
    """List the guesses in portfolio order.

    Heads go where the probe was best. What is trained goes to the best published network first, since what a network
    learned matters more there than how linearly it shows (Kornblith et al. 2019, 1805.08974); with a clock every place
    is a guess of its own, and its promise decides.
    """
    published = {n: contest.registry.backbone(n).published_accuracy or -math.inf for n, _ in places}
    entries: list[Entry] = []
    for name in candidates.ordered(contest.strategies, few_shot=contest.regime.few_shot):
        strategy = contest.strategies[name]
        frozen = strategy.regime == "feature_extraction"
        each = HEADS_EACH if frozen else DEEP_EACH if contest.clocked else 1
        order = places if frozen else sorted(places, key=lambda p: -published[p[0]])
        spread = [
            candidates.guesses({name: strategy}, contest.context(*p), backbone=p[0], size_px=p[1], each=each)
            for p in order
        ]
        for number in range(each):
            entry = [guesses[number] for guesses in spread if len(guesses) > number]
            if contest.clocked and not frozen:
                entries += [[guess] for guess in entry]
            elif entry:
                entries.append(entry if contest.clocked else entry[:1])
    return entries
