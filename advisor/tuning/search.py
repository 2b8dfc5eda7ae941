"""The search: probes, then trials, begun as workers get free and written down as they end, until nothing more is proposed.

In: a run whose data set is open. Out: finished trials in its study, each written down before the next begins where there is
one worker. Does NOT cover: what to try (`decisions`), where trials run (`execution`), what a trial does
(`execution.trial`), who won (`selection`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from advisor.errors import AdviseError, BackboneError, OutputError, StrategyError, WorkerLostError
from advisor.execution.executor import Ended
from advisor.hooks import Backbone, Strategy
from advisor.records import Candidate, Trial
from advisor.records.messages import Progress, RunTrial
from advisor.records.trials import regime_name
from advisor.runtime import durations
from advisor.runtime.atomic_file import write_atomically
from advisor.runtime.run_dir import trial_name
from advisor.tuning import cost_model, pace, policy, probes, pruner
from advisor.tuning.candidates import BackboneAtSize
from advisor.tuning.decisions import duration, stopping
from advisor.tuning.decisions.portfolio import MeasurePace
from advisor.tuning.decisions.search_policy import MakeProbe, SearchPolicy
from advisor.tuning.faults import left_out
from advisor.tuning.search_run import SearchRun
from advisor.tuning.search_state import SearchState


def explore(run: SearchRun, backbones: list[Backbone]) -> None:
    """Probe, fix the untuned default, then search until trials, time or patience are used up or nothing is worth its time.

    Probes that were skipped are made when nothing else is proposed and time is left.
    """
    left_out.read(run, retry=True)
    usable = left_out.describe(run, backbones)
    decide = SearchPolicy(run.facts, usable, partial(_draw, run))
    _probe(run, decide)
    left_out.check_probed(run, usable)
    decide.backbones = [b for b in usable if not run.is_left_out(b.name)]
    left_out.note_strategies(run)
    cut_off = deque(run.study.interrupted())
    tolerant = partial(left_out.without_failing, run, decide)
    tolerant(lambda: _predict(run, decide))
    tolerant(lambda: decide.proposer(run.state()))  # fixes the untuned default, or finds that nothing applies
    more = True
    while True:
        while run.executor.free and (more := tolerant(lambda: _next_step(run, decide, cut_off))):
            pass
        if not run.executor.busy and not more:
            break
        ended = run.executor.poll(_progress(run))
        if ended is not None:
            trial = _end(run, ended)
            tolerant(lambda: decide.proposer(run.state())).ended(trial)
            tolerant(lambda: _predict(run, decide))
    run.stopped = decide.stopped(run.state())
    run.untried = stopping.untried(run.state(), run.stopped)
    run.rundir.log("stopped", at_s=run.clock.used_s, reason=run.stopped.reason, text=run.stopped.text)


def _probe(run: SearchRun, decide: SearchPolicy) -> None:
    """Make the probes, and note which were skipped."""
    probes.read(run)
    while (step := decide.next_probe(run.state())) is not None:
        probes.make(run, step.at, step.card_s, step.limit_s)
    if decide.skipped:
        names = ", ".join(f"{at.name} at {at.size_px} px" for at in decide.skipped)
        run.listener.note(f"not probed for now, within {durations.words(decide.allowed_s)} for all probes: {names}")
    probes.keep_best(run)


def _predict(run: SearchRun, decide: SearchPolicy) -> None:
    """Without a deadline, predict how long the rest takes: shown and written down, and nothing is decided by it."""
    state = run.state()
    if state.has_deadline or state.settings.trials is None:
        return
    left = duration.remaining(state, decide.proposer(state).portfolio.left(state))
    if run.predicted_s is None:
        run.predicted_s = round(run.clock.used_s + left.seconds, 1)
        run.rundir.log("predicted", at_s=run.clock.used_s, left_s=left.seconds, at_most_s=left.at_most_s)
    run.listener.predicted(left.seconds, left.at_most_s)


def _next_step(run: SearchRun, decide: SearchPolicy, cut_off: deque[tuple[int, Candidate]]) -> bool:
    """Begin what an earlier process left unfinished, else do what is decided; False where there is neither."""
    if cut_off:
        number, candidate = cut_off.popleft()
    else:
        step = decide.next(run.state(), idle=not run.executor.busy)
        if step is None:
            return False
        if isinstance(step, MakeProbe):
            probes.make(run, step.at, step.card_s, step.limit_s)
            return True
        if isinstance(step, MeasurePace):
            pace.measure(run, step.candidate)
            return True
        number, candidate = run.begin(step.candidate), step.candidate
        decide.proposer(run.state()).begun(number)
    probe = run.state().probe_of(candidate)
    if probe is not None:
        decide.proposer(run.state()).ended(_adopt(run, number, candidate, probe))
        return True
    run.listener.stage(f"trial {number}: {candidate.strategy} on {candidate.backbone} at {candidate.size_px} px")
    try:
        order = _order(run, number, candidate)
    except (StrategyError, *left_out.NETWORK_FAILURES) as error:  # it was begun, so it has to end
        trial = _failed(run, number, candidate, run.clock.used_s, error)
        run.record_trial(trial)
        decide.proposer(run.state()).ended(trial)
        return True
    run.executor.submit(order)
    return True


def _draw(
    run: SearchRun,
    backbones: Sequence[BackboneAtSize],
    strategies: Mapping[str, Strategy],
    state: SearchState,
    attempt: int,
) -> Candidate:
    """Draw a candidate from the study."""
    return run.study.sample(backbones, strategies, state.context, attempt=attempt)


def _adopt(run: SearchRun, number: int, candidate: Candidate, probe: Trial) -> Trial:
    """Record a probe of the very same head as the trial: nothing is computed again."""
    predictions = f"trials/{trial_name(number, 0)}.npz"
    write_atomically(run.rundir.path / predictions, (run.rundir.path / probe.predictions).read_bytes())
    trial = replace(probe, number=number, candidate=candidate, predictions=predictions)
    run.record_trial(trial)
    return trial


def _order(run: SearchRun, number: int, candidate: Candidate) -> RunTrial:
    if run.is_left_out(candidate.backbone):
        raise BackboneError(f"{candidate.backbone} is left out of this search.")
    run.describe([candidate.backbone])  # one that an earlier process began may be of any backbone
    state = run.state()
    reserve_s = cost_model.reserve_s(state, candidate, refit=cost_model.fits_time(state, candidate))
    run.listener.reserved(reserve_s)
    return RunTrial(
        number=number,
        candidate=candidate,
        folds=cost_model.folds_for(state, candidate),
        repeat=0,
        seed=state.settings.seed,
        started_s=run.clock.used_s,
        limit_s=max(1.0, state.left_s - reserve_s) if state.has_deadline else None,
        stop_above=pruner.pause_thresholds(state.trials, policy.PAUSE_RUNGS),
    )


def _progress(run: SearchRun) -> Callable[[Progress], None]:
    """Show how far the trial is; where several run, a bar that jumps between them would show nothing."""
    return run.listener.progress if len(run.executor.running) == 1 else lambda progress: None


def _end(run: SearchRun, ended: Ended) -> Trial:
    """Record a trial that ended; a worker that died with it costs this trial only."""
    job, ending = ended.job, ended.outcome
    if isinstance(ending, OutputError):  # the disk is full: the trial is begun again when the run goes on
        raise ending
    if isinstance(ending, AdviseError):
        trial = _failed(run, job.number, job.candidate, job.started_s, ending)
    else:
        trial = ending
    if isinstance(ending, Trial):
        run.deaths = 0
    taken_s, folds = (trial.seconds, len(trial.scores)) if trial.state == "complete" else (trial.needs_s, 1)
    if run.facts.trains_backbone(job.candidate) and taken_s and job.candidate.continues is None:  # else a part of it
        with suppress(StrategyError):  # the trial has ended all the same; the next decision meets the failure
            cost_model.observe_training(run.speeds, run.state(), job.candidate, folds, taken_s)
            run.write_speeds()
    run.record_trial(trial)
    if isinstance(ending, WorkerLostError):
        run.restart_after(ending)
    return trial


def _failed(run: SearchRun, number: int, candidate: Candidate, started_s: float, error: AdviseError) -> Trial:
    return Trial(
        number=number,
        candidate=candidate,
        regime=regime_name(run.facts.strategy_of(candidate).regime),
        state="failed",
        error=str(error),
        started_s=started_s,
        seconds=run.clock.used_s - started_s,
    )
