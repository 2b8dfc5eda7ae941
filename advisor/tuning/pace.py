"""The pace of a training on this machine, from a few of its real steps.

In: a run, a candidate. Out: `run.speeds` with one more reading. Does NOT cover: when to measure (decisions/portfolio.py).
"""

from __future__ import annotations

from advisor.errors import AdviseError
from advisor.records import Candidate
from advisor.records.messages import StepTime, TimeSteps
from advisor.tuning import cost_model, epoch_budget, policy
from advisor.tuning.search_run import SearchRun


def measure(run: SearchRun, candidate: Candidate) -> None:
    """Time a few real steps of a candidate's training where nothing of its kind was measured on this network.

    Only with a deadline, one device and a free worker on this machine. What fails here is left to the trial itself.
    """
    if not run.facts.has_deadline or run.facts.settings.devices > 1 or run.executor is not run.workers:
        return
    state = run.state()
    count = epoch_budget.steps_to_time(state, candidate) if run.workers.idle is not None else 0
    if not count:
        return
    job = TimeSteps(
        candidate=candidate,
        seed=state.settings.seed,
        warm=policy.TIMED_WARMUP_STEPS,
        steps=policy.TIMED_STEPS,
    )
    try:
        step_s = run.ask(job, StepTime).step_s
    except AdviseError as error:  # the trial itself will meet it, and report it
        run.rundir.log("not timed", at_s=run.clock.used_s, error=str(error))
        return
    if step_s:
        scoring_s = cost_model.forward_s(state, candidate) * (state.images - state.fold_images)
        run.rundir.log("timed", at_s=run.clock.used_s, step_s=step_s, steps=count, scoring_s=scoring_s)
        cost_model.observe_training(run.speeds, state, candidate, 1, step_s * count + scoring_s)
        run.write_speeds()
