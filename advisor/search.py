"""Places and strategies -> trials: the untuned default, known-good guesses, then samples, until the end.

In: a contest whose probes are done. Out: finished trials in its study, each written down before the next begins.
Does NOT cover: what a trial does (trial.py), who won (finish.py), what things cost (contest.py).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

from advisor import budget, candidates, probing
from advisor.contest import FOLDS, Contest, key
from advisor.errors import AdviseError
from advisor.hooks import Backbone, Strategy
from advisor.records import Candidate, Trial
from advisor.records.jobs import RunTrial

RESCORE_SHARE = 0.15  # of the budget, kept back for scoring the leaders again
TRIES = 2  # of one guess, the second shortened
PATIENCE = 24  # sampled trials in a row without a better one, after which more would only fit the validation images
DRAWS = 8  # of the sampler, for one candidate that is new and fits into the time
SLACK = 0.85  # of the time left: what is shortened to fit must not fail for a prediction that was a little off
FEWEST_EPOCHS = 2.0  # to which a trained candidate is shortened where time is short
STOPPED_AFTER = 4  # earlier trials at a rung, before the median of them may stop another
RUNGS = (33, 66)


def explore(contest: Contest, reachable: list[Backbone]) -> None:
    """Probe, then search until trials, time or patience are used up; the default is fixed before either."""
    first = probing.default(contest, reachable)
    probing.probe_all(contest, reachable)
    places = probing.places(contest) or [(first.backbone, first.size_px)]
    cut_off = contest.study.interrupted()
    if cut_off is not None:
        _run(contest, cut_off[1])
    for entry in [[first], *_portfolio(contest, places)]:
        if _trials_left(contest) <= 0:
            return
        for again in range(TRIES):
            chosen = _next_of(contest, entry, shortened=again > 0)
            if chosen is None or not _run(contest, chosen).needs_s:
                break  # what was given up as too slow has taught the true speed: a shorter one may fit
    _sample_on(contest, places)


def _trials_left(contest: Contest) -> float:
    if contest.settings.trials is None:
        return float("inf")
    return contest.settings.trials - len(contest.study.trials())


def _portfolio(contest: Contest, places: list[tuple[str, int]]) -> Iterator[list[Candidate]]:
    """Give known-good guesses in order; an entry lists one guess on one place after another, for the first in reach.

    Heads go where the probe was best; what is trained goes to the best published network first, since what a network
    learned matters more there than how linearly it shows (Kornblith et al. 2019, 1805.08974).
    """
    published = {n: contest.registry.backbone(n).published_accuracy or 0.0 for n, _ in places}
    for name in candidates.ordered(contest.strategies, few_shot=contest.regime.few_shot):
        strategy = contest.strategies[name]
        frozen = strategy.regime == "feature_extraction"
        each = 3 if frozen else 1
        order = places if frozen else sorted(places, key=lambda p: -published[p[0]])
        spread = [
            candidates.guesses({name: strategy}, contest.context(*p), backbone=p[0], size_px=p[1], each=each)
            for p in order
        ]
        for number in range(each):
            entry = [guesses[number] for guesses in spread if len(guesses) > number]
            if entry:
                yield entry if contest.clocked else entry[:1]


def _next_of(contest: Contest, entry: list[Candidate], *, shortened: bool) -> Candidate | None:
    """Choose among one guess on several places what was not tried; `shortened` asks for fewer epochs of one that was."""
    tried = {key(c) for c in contest.study.candidates()}
    fresh = [c for c in entry if key(c) not in tried]
    if not shortened:
        return _first_in_reach(contest, fresh)
    shorter = (s for c in entry if (s := _shortened(contest, c)) is not None)
    return next((s for s in shorter if key(s) not in tried), None)


def _first_in_reach(contest: Contest, entry: list[Candidate]) -> Candidate | None:
    """Take the first candidate that can be finished in time; else the first that can with fewer epochs."""
    whole = next((c for c in entry if contest.affordable(c)), None)
    return whole or next((s for c in entry if (s := _shortened(contest, c)) is not None), None)


def _shortened(contest: Contest, candidate: Candidate) -> Candidate | None:
    """Give a trained candidate the epochs that the time affords; None where that is too few to learn anything."""
    asked = candidate.parameters.get("epochs")
    if not contest.clocked or not isinstance(asked, int | float):
        return None
    least = replace(candidate, parameters={**candidate.parameters, "epochs": FEWEST_EPOCHS})
    if asked <= FEWEST_EPOCHS or not contest.affordable(least, share=SLACK):
        return None
    low, high = FEWEST_EPOCHS, float(asked)
    for _ in range(6):
        middle = (low + high) / 2
        fits = contest.affordable(
            replace(candidate, parameters={**candidate.parameters, "epochs": middle}), share=SLACK
        )
        low, high = (middle, high) if fits else (low, middle)
    return replace(candidate, parameters={**candidate.parameters, "epochs": round(low, 1)})


def _run(contest: Contest, candidate: Candidate) -> Trial:
    contest.describe(candidate.backbone)
    number = contest.study.begin(candidate)
    folds = contest.folds_for(candidate)
    left = contest.clock.left_s - contest.finish_s(candidate)
    job = RunTrial(
        number=number,
        candidate=candidate,
        folds=folds,
        repeat=0,
        seed=contest.settings.seed,
        started_s=contest.clock.used_s,
        limit_s=max(1.0, left) if contest.clocked else None,
        stop_above=_stop_above(contest),
    )
    contest.listener.stage(f"trial {number}: {candidate.strategy} on {candidate.backbone} at {candidate.size_px} px")
    trial = _ask(contest, job)
    taken = trial.seconds if trial.state == "complete" else trial.needs_s
    if contest.is_deep(candidate) and taken:
        card = contest.card_s(candidate, contest.images - contest.images // FOLDS)
        contest.training.setdefault(trial.regime, budget.Speed()).learn(card * len(folds), taken)
    contest.ended(trial)
    return trial


def _ask(contest: Contest, job: RunTrial) -> Trial:
    """Run a trial; a worker that dies with it is started again and costs this trial only."""
    deadline = None if job.limit_s is None else time.monotonic() + job.limit_s + 5.0
    try:
        return contest.worker.ask(job, Trial, contest.listener.progress, deadline=deadline)
    except AdviseError as error:  # WorkerLost and OutOfTime among them
        return _failed(contest, job, error)


def _failed(contest: Contest, job: RunTrial, error: AdviseError) -> Trial:
    return Trial(
        number=job.number,
        candidate=job.candidate,
        regime=contest.strategies_of(job.candidate).regime,
        state="failed",
        error=str(error),
        started_s=job.started_s,
        seconds=contest.clock.used_s - job.started_s,
    )


def _stop_above(contest: Contest) -> dict[int, float]:
    """Median stopping: a trial that is above the median of earlier ones at a rung ends there.

    Source: Golovin et al. 2017 (Vizier), section 3.1; here with the losses at the rung itself.
    """
    curves = [t.curve.log_loss for t in contest.study.trials()]
    limits = {}
    for position, rung in enumerate(RUNGS):
        reached = [losses[position] for losses in curves if len(losses) > position]
        if len(reached) >= STOPPED_AFTER:
            limits[rung] = statistics.median(reached)
    return limits


def _sample_on(contest: Contest, places: list[tuple[str, int]]) -> None:
    usable = {
        n: s for n, s in contest.strategies.items() if all(s.applies(contest.context(*p)) is None for p in places)
    }
    while usable and _trials_left(contest) > 0 and _stale(contest) < PATIENCE and not _late(contest):
        candidate = _fresh(contest, places, usable)
        if candidate is None:
            return
        _run(contest, candidate)


def _fresh(contest: Contest, places: list[tuple[str, int]], usable: Mapping[str, Strategy]) -> Candidate | None:
    """Sample a candidate that is new and fits into the time; None where a few draws give none."""
    tried = {key(c) for c in contest.study.candidates()}
    for attempt in range(DRAWS):
        drawn = contest.study.sample(places, usable, contest.context, attempt=attempt)
        candidate = _first_in_reach(contest, [drawn])
        if candidate is not None and key(candidate) not in tried:
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
    return contest.clock.left_s - spare < contest.finish_s(best.candidate)
