"""What a training costs on this machine, seen from its first steps, before the search decides how long it may be.

In: a contest and a candidate whose like was not trained yet. Out: a reading in the contest's speeds. Guessed from a frozen
pass alone, its pace was off by up to 1.5 (docs/decisions.md). Only where there is a clock.
Does NOT cover: doing the steps (`stopwatch`), how long it may then be (`length`).
"""

from __future__ import annotations

from advisor.data.splits import FOLDS
from advisor.errors import AdviseError
from advisor.records import Candidate
from advisor.records.messages import StepTime, TimeSteps
from advisor.tuning import cost_model, epoch_budget
from advisor.tuning.search_state import Contest

WARM, STEPS = 2, 6  # steps that are not counted, and those that are
# Of the time left, which the fewest steps that say anything may take, at a pace that may be guessed too slow.
SHARE = 0.15


def look(contest: Contest, candidate: Candidate) -> None:
    """Learn the pace of a candidate's training where nothing of its kind was seen on this network."""
    if not contest.clocked or contest.settings.devices > 1 or contest.fleet is not None or contest.crew.idle is None:
        return
    if not contest.is_deep(candidate) or cost_model.has_pace(contest, candidate):
        return
    images = contest.images - contest.images // FOLDS
    steps = epoch_budget.steps(contest, candidate)
    each_s = cost_model.train_s(contest, candidate, images) / max(1, steps)
    if not steps or (WARM + 1) * each_s > SHARE * contest.clock.left_s:
        return
    try:
        timed = contest.ask(
            TimeSteps(candidate=candidate, seed=contest.settings.seed, warm=WARM, steps=STEPS), StepTime
        )
    except AdviseError as error:  # the trial itself will meet it, and say so
        contest.rundir.log("not timed", at_s=contest.clock.used_s, error=str(error))
        return
    if timed.step_s:
        scoring_s = cost_model.forward_s(contest, candidate) * (contest.images - images)
        contest.rundir.log("timed", at_s=contest.clock.used_s, step_s=timed.step_s, steps=steps, scoring_s=scoring_s)
        cost_model.trained(contest, candidate, 1, timed.step_s * steps + scoring_s)
