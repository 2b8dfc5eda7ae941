"""Known-good guesses, one after another: in a fixed order without a clock, else by what they promise in the time left.

In: a contest whose probes are done. Out: the next guess on the places where it may be tried. With a clock, what costs
next to nothing comes first; then whatever has the highest expected improvement of the log-loss in the time that is left,
shortened where it must be, the first training on the network of the highest published accuracy. What promises nothing
over the best that is there is left to the samples.
Does NOT cover: samples and second tries (proposals.py), the expectation (promise.py).
"""

from __future__ import annotations

import math

from advisor.records import Candidate
from advisor.records.trials import DEFAULT
from advisor.tuning import candidates, cost_model, epoch_budget, expected_loss, step_probe
from advisor.tuning.search_state import Contest

CHEAP = 0.06  # of the time left: what costs less is tried before anything is weighed
HOPE = 0.01  # expected improvement of the log-loss: what promises less is not worth a trial of its own
NEAR = 0.4  # of the highest expected improvement: from there on the first training goes to the most accurate network
HEADS_EACH, DEEP_EACH = 3, 2  # guesses of one strategy; without a clock one of each that is trained

Entry = list[Candidate]  # one guess on one place after another, the first that is in reach is tried


class Portfolio:
    """The guesses that were not tried yet."""

    def __init__(self, contest: Contest, first: Candidate, places: list[tuple[str, int]]) -> None:
        self.contest = contest
        self.waiting: list[Entry] = [[first], *_entries(contest, places)]
        self.begun = False
        self.looked: set[tuple[str, str]] = set()  # regimes and networks whose pace was looked at

    def next(self) -> tuple[Entry, Candidate] | None:
        """Take the next guess: its entry, and the candidate of it that is in reach; None where none is left."""
        while self.waiting:
            position = 0 if not self.begun or not self.contest.clocked else self._best()
            self.begun = True
            if position is None:
                self.waiting.clear()
                return None
            entry = self.waiting.pop(position)
            self._look(entry[0])
            chosen = first_in_reach(self.contest, entry)
            if chosen is not None:
                return entry, chosen
        return None

    def _best(self) -> int | None:
        """Say which guess comes next; None where all are expected to stay behind."""
        for position, entry in enumerate(self.waiting):
            chosen = first_in_reach(self.contest, entry)
            if chosen is not None and self._costs_nothing(chosen):
                return position
        hope, position = max(self._options(), default=(0.0, 0))
        if hope >= HOPE and not self.contest.is_deep(self.waiting[-position][0]):
            return -position  # a look at a training's pace may cost what this head needs
        self._look_at_the_pace()
        options = self._options()
        hope, position = max(options, default=(0.0, 0))
        if options and self.contest.is_deep(self.waiting[-position][0]) and not self.contest.has_trained:
            return self._on_the_most_accurate([-p for h, p in sorted(options, reverse=True) if h >= NEAR * hope])
        return -position if hope >= HOPE else None

    def _options(self) -> list[tuple[float, int]]:
        """Give what each guess in reach promises, with its position below 0: of equal ones the first is the largest."""
        reachable = [(p, c) for p, e in enumerate(self.waiting) if (c := first_in_reach(self.contest, e)) is not None]
        sure = [
            (p, c)
            for p, c in reachable
            if len(cost_model.folds_for(self.contest, c)) >= cost_model.least_folds(self.contest, c)
        ]
        return [(self._improvement(chosen), -position) for position, chosen in sure or reachable]

    def _look_at_the_pace(self) -> None:
        """Before the first training is chosen, see how fast the most accurate network trains, on small images.

        Guessed too slow, it would seem out of reach, and a weaker one would be trained in its place.
        """
        deep = [c for entry in self.waiting for c in entry[:1] if self.contest.is_deep(c)]
        if deep and not self.contest.has_trained:
            whole = [c for c in deep if self.contest.strategies_of(c).regime == "full"] or deep
            self._look(min(whole, key=lambda c: (-self._published(c), c.size_px or 0)))

    def _look(self, candidate: Candidate) -> None:
        kind = (self.contest.strategies_of(candidate).regime, candidate.backbone)
        if self.contest.is_deep(candidate) and kind not in self.looked:
            self.looked.add(kind)
            step_probe.look(self.contest, candidate)

    def _on_the_most_accurate(self, positions: list[int]) -> int:
        """Take the most promising training of the network of the highest published accuracy: where a search begins to train.

        `positions` are in the order of what they promise.

        How linearly a network shows the classes says less about what training makes of it than its published accuracy
        (Kornblith et al. 2019); the first training here then tells how much that is (`promise.surprise`).
        """
        deep = [p for p in positions if self.contest.is_deep(self.waiting[p][0])]
        return min(deep, key=lambda p: (-self._published(self.waiting[p][0]), positions.index(p)))

    def _published(self, candidate: Candidate) -> float:
        return self.contest.registry.backbone(candidate.backbone).published_accuracy or -math.inf

    def _costs_nothing(self, candidate: Candidate) -> bool:
        frozen = not self.contest.is_deep(candidate)
        return (
            frozen
            and cost_model.train_s(self.contest, candidate, self.contest.images) <= CHEAP * self.contest.clock.left_s
        )

    def _improvement(self, chosen: Candidate) -> float:
        contest = self.contest
        strategy = contest.strategies_of(chosen)
        steps = epoch_budget.steps(contest, chosen)
        published = {n: b.published_accuracy for n, b in contest.registry.backbones.items()}
        trials = contest.study.trials()
        reached = expected_loss.expected(chosen, strategy.regime, steps, contest.probes, trials, published)
        best = contest.best()
        return expected_loss.improvement(
            reached, expected_loss.spread(steps, trials), best.log_loss if best is not None else math.inf
        )


def first_in_reach(contest: Contest, entry: Entry) -> Candidate | None:
    """Take the first candidate that was not tried and can be finished in time; else the first that can if shortened.

    A probe is tried already; the untuned default is a trial all the same.
    """
    fresh = [c for c in entry if not contest.study.tried(c) and (c.origin == DEFAULT or contest.probe_of(c) is None)]
    whole = next((c for c in fresh if cost_model.affordable(contest, c)), None)
    return whole or next((s for c in fresh if (s := epoch_budget.shortened(contest, c)) is not None), None)


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
