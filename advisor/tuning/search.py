"""The search: probes, then trials, begun as workers get free and written down as they end, until nothing more is proposed.

In: a run whose data set is open. Out: finished trials in its study, each written down before the next begins where there is
one worker. Does NOT cover: what to try (proposer.py), where trials run (`execution`), what a trial does (trial.py), who won
(`selection`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from advisor.errors import AdviseError, WorkerLostError
from advisor.execution.executor import Ended
from advisor.hooks import Backbone
from advisor.records import Candidate, Trial
from advisor.records.messages import Progress, RunTrial
from advisor.records.trials import regime_name
from advisor.runtime.atomic_file import write_atomically
from advisor.runtime.run_dir import trial_name
from advisor.tuning import cost_model, policy, probes, pruner, stopping
from advisor.tuning.candidates import BackboneAtSize
from advisor.tuning.proposer import Proposer
from advisor.tuning.search_run import SearchRun


def explore(run: SearchRun, backbones: list[Backbone]) -> None:
    """Probe, fix the untuned default, then search until trials, time or patience are used up or nothing is worth its time.

    Probes that were skipped are made when nothing else is proposed and time is left.
    """
    run.describe(b.name for b in backbones)
    skipped = probes.probe_all(run, backbones)
    begun = run.study.candidates()  # a resume keeps the default that was fixed
    first = begun[0] if begun else probes.default(run.state(), backbones)
    proposer = Proposer(run, first, probes.shortlist(run.state()) or [BackboneAtSize.of(first)])
    cut_off = deque(run.study.interrupted())
    more = True
    while True:
        while run.executor.free and (more := _begin_next(run, proposer, cut_off)):
            pass
        if not run.executor.busy and not more:
            at = probes.probe_skipped(run, backbones, skipped)
            if at is None:
                break
            proposer.add(at)
            continue
        ended = run.executor.poll(_progress(run))
        if ended is not None:
            proposer.ended(_end(run, ended))
    run.stopped = proposer.stopped()
    run.untried = stopping.untried(run.state(), run.stopped)
    run.rundir.log("stopped", at_s=run.clock.used_s, reason=run.stopped.reason, text=run.stopped.text)


def _begin_next(run: SearchRun, proposer: Proposer, cut_off: deque[tuple[int, Candidate]]) -> bool:
    """Begin what an earlier process left unfinished, else what is proposed; False where there is neither."""
    if cut_off:
        number, candidate = cut_off.popleft()
    else:
        proposed = proposer.next()
        if proposed is None:
            return False
        number, candidate = run.begin(proposed), proposed
        proposer.begun(number)
    probe = run.state().probe_of(candidate)
    if probe is not None:
        proposer.ended(_adopt(run, number, candidate, probe))
        return True
    run.listener.stage(f"trial {number}: {candidate.strategy} on {candidate.backbone} at {candidate.size_px} px")
    run.executor.submit(_order(run, number, candidate))
    return True


def _adopt(run: SearchRun, number: int, candidate: Candidate, probe: Trial) -> Trial:
    """Record a probe of the very same head as the trial: nothing is computed again."""
    predictions = f"trials/{trial_name(number, 0)}.npz"
    write_atomically(run.rundir.path / predictions, (run.rundir.path / probe.predictions).read_bytes())
    trial = replace(probe, number=number, candidate=candidate, predictions=predictions)
    run.record_trial(trial)
    return trial


def _order(run: SearchRun, number: int, candidate: Candidate) -> RunTrial:
    run.describe([candidate.backbone])  # one that an earlier process began may be of any backbone
    state = run.state()
    reserve_s = cost_model.reserve_s(state, candidate, refit=cost_model.affordable(state, candidate))
    run.listener.reserved(reserve_s)
    return RunTrial(
        number=number,
        candidate=candidate,
        folds=cost_model.folds_for(state, candidate),
        repeat=0,
        seed=state.settings.seed,
        started_s=run.clock.used_s,
        limit_s=max(1.0, state.left_s - reserve_s) if state.has_deadline else None,
        stop_above=pruner.limits(state.trials, policy.PAUSE_RUNGS),
    )


def _progress(run: SearchRun) -> Callable[[Progress], None]:
    """Show how far the trial is; where several run, a bar that jumps between them would show nothing."""
    return run.listener.progress if len(run.executor.running) == 1 else lambda progress: None


def _end(run: SearchRun, ended: Ended) -> Trial:
    """Learn from a trial that ended and write it down; a worker that died with it costs this trial only."""
    order, ending = ended.order, ended.answer
    trial = _failed(run, order, ending) if isinstance(ending, AdviseError) else ending
    if isinstance(ending, Trial):
        run.deaths = 0
    taken_s, folds = (trial.seconds, len(trial.scores)) if trial.state == "complete" else (trial.needs_s, 1)
    if (
        run.facts.trains_backbone(order.candidate) and taken_s and order.candidate.continues is None
    ):  # else a part of it
        cost_model.observe_training(run.speeds, run.state(), order.candidate, folds, taken_s)
    run.record_trial(trial)
    if isinstance(ending, WorkerLostError):
        run.restart_after(ending)
    return trial


def _failed(run: SearchRun, order: RunTrial, error: AdviseError) -> Trial:
    return Trial(
        number=order.number,
        candidate=order.candidate,
        regime=regime_name(run.facts.strategy_of(order.candidate).regime),
        state="failed",
        error=str(error),
        started_s=order.started_s,
        seconds=run.clock.used_s - order.started_s,
    )
