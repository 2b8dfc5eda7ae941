"""Places and strategies -> trials: begun as workers get free, written down as they end, until nothing more is proposed.

In: a contest whose data set is open. Out: finished trials in its study, each written down before the next begins where
there is one worker. Does NOT cover: what to try (proposals.py), where trials run (crew.py), what a trial does (trial.py),
who won (finish.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from advisor.errors import AdviseError
from advisor.execution.worker_pool import Ended
from advisor.hooks import Backbone
from advisor.records import Candidate, Trial
from advisor.records.messages import Progress, RunTrial
from advisor.records.trials import regime_name
from advisor.runtime.atomic_file import write_atomically
from advisor.runtime.run_dir import trial_name
from advisor.tuning import cost_model, probes, pruner
from advisor.tuning.proposer import Proposer
from advisor.tuning.search_state import Contest

RUNGS = (33, 66)  # percent of the steps, at which a trial may pause


def explore(contest: Contest, reachable: list[Backbone]) -> None:
    """Probe, then search until trials, time or patience are used up; the default is fixed before either."""
    first = probes.default(contest, reachable)
    probes.probe_all(contest, reachable)
    places = probes.places(contest) or [(first.backbone, first.size_px)]
    proposer = Proposer(contest, first, places)
    seats = contest.seats
    cut_off = deque(contest.study.interrupted())
    if contest.fleet is not None:
        names = dict.fromkeys([first.backbone, *(name for name, _ in places)])
        contest.fleet.invite({name: contest.describe(name).weights_sha256 for name in names})
        adopted = contest.fleet.adopt([number for number, _ in cut_off])
        cut_off = deque(pair for pair in cut_off if pair[0] not in adopted)
    more = True
    while True:
        while seats.free and (more := _begin_next(contest, proposer, cut_off)):
            pass
        if not seats.busy and (not more or not seats.waiting or contest.clock.left_s <= 0):
            return
        ended = seats.poll(_progress(contest))
        if ended is not None:
            proposer.ended(_end(contest, ended))


def _begin_next(contest: Contest, proposer: Proposer, cut_off: deque[tuple[int, Candidate]]) -> bool:
    """Begin what an earlier process or a lost worker left, else what is proposed; False where there is neither."""
    lost = contest.study.lost()
    if cut_off:
        number, candidate = cut_off.popleft()
    elif lost:
        candidate = contest.study.candidate(lost[0])
        number = contest.begin(candidate, again=lost[0])
    else:
        proposed = proposer.next()
        if proposed is None:
            return False
        number, candidate = contest.begin(proposed), proposed
        proposer.begun(number)
    known = contest.probe_of(candidate)
    if known is not None:
        proposer.ended(_adopt(contest, number, candidate, known))
        return True
    contest.listener.stage(f"trial {number}: {candidate.strategy} on {candidate.backbone} at {candidate.size_px} px")
    contest.seats.submit(_order(contest, number, candidate))
    return True


def _adopt(contest: Contest, number: int, candidate: Candidate, probe: Trial) -> Trial:
    """Let a probe of the very same head be the trial: nothing is computed again."""
    predictions = f"trials/{trial_name(number, 0)}.npz"
    write_atomically(contest.rundir.path / predictions, (contest.rundir.path / probe.predictions).read_bytes())
    trial = replace(probe, number=number, candidate=candidate, predictions=predictions)
    contest.ended(trial)
    return trial


def _order(contest: Contest, number: int, candidate: Candidate) -> RunTrial:
    left = contest.clock.left_s - cost_model.end_s(contest, candidate, refit=cost_model.affordable(contest, candidate))
    return RunTrial(
        number=number,
        candidate=candidate,
        folds=cost_model.folds_for(contest, candidate),
        repeat=0,
        seed=contest.settings.seed,
        started_s=contest.clock.used_s,
        limit_s=max(1.0, left) if contest.clocked else None,
        stop_above=pruner.limits(contest.study.trials(), RUNGS),
    )


def _progress(contest: Contest) -> Callable[[Progress], None]:
    """Show how far the trial is; where several run, a bar that jumps between them would tell nothing."""
    return contest.listener.progress if len(contest.seats.running) == 1 else lambda progress: None


def _end(contest: Contest, ended: Ended) -> Trial:
    """Learn from a trial that ended and write it down; a worker that died with it costs this trial only."""
    order, answer = ended.order, ended.answer
    trial = _failed(contest, order, answer) if isinstance(answer, AdviseError) else answer
    taken, folds = (trial.seconds, len(trial.scores)) if trial.state == "complete" else (trial.needs_s, 1)
    if contest.is_deep(order.candidate) and taken and order.candidate.continues is None:  # else it was not the whole
        cost_model.trained(contest, order.candidate, folds, taken)
    contest.ended(trial)
    return trial


def _failed(contest: Contest, order: RunTrial, error: AdviseError) -> Trial:
    return Trial(
        number=order.number,
        candidate=order.candidate,
        regime=regime_name(contest.strategies_of(order.candidate).regime),
        state="failed",
        error=str(error),
        started_s=order.started_s,
        seconds=contest.clock.used_s - order.started_s,
    )
