"""How long a candidate may train in the time that is left: whole, shortened, or not at all.

In: a contest and a candidate. Out: the candidate as it fits, with its refit, the test and the end kept back.
Does NOT cover: what things cost (costs.py), in which order they are tried (portfolio.py, proposals.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from advisor.data.splits import FOLDS
from advisor.records import Candidate, Trial
from advisor.records.trials import DEFAULT, REGIME_WORDS, REGIMES
from advisor.runtime import durations
from advisor.tuning import candidates, cost_model
from advisor.tuning.search_state import Contest

# Of the time left, with a pace that was guessed, and one that was seen here: what is shortened to fit must not fail for a
# prediction that was a little off.
SLACK, SEEN_SLACK = 0.85, 0.95
# Below both of them a training is too short to learn anything: 75 steps lowered the log-loss of the probe by 15 to 30 % on
# sketches, flowers and CIFAR-10 (docs/advice.md, "What does a guess bring").
FEWEST_EPOCHS, FEWEST_STEPS = 2.0, 75.0
LEAST_EPOCHS = 0.2  # however many steps that is: fewer images had better been a smaller sample
HALVINGS = 6  # of the range in which the length is looked for


def in_reach(contest: Contest, candidate: Candidate) -> Candidate | None:
    """Give the candidate as it can be finished in time: whole, else with fewer epochs, else None."""
    return candidate if cost_model.affordable(contest, candidate) else shortened(contest, candidate)


def shortened(contest: Contest, candidate: Candidate) -> Candidate | None:
    """Give a trained candidate the epochs that the time affords; None where that is too few to learn anything.

    The first training of a search gives up its refit rather than epochs where it runs on two folds, whose mean is worth
    one, and on one fold before it gives up more than half of them: five fourths of the images are worth less than that.
    """
    asked = candidate.parameters.get("epochs")
    if not contest.clocked or not isinstance(asked, int | float):
        return None
    folds, whole = cost_model.least_folds(contest, candidate), float(asked)
    epochs = _longest(contest, candidate, whole, refit=True)
    # Not the untuned default, which is compared on all images.
    first = candidate.origin != DEFAULT and not contest.has_trained
    if first and (epochs is None or epochs < (whole if folds > 1 else whole / 2)):
        without = _longest(contest, candidate, whole, refit=False, folds=folds)
        epochs = without or epochs or _longest(contest, candidate, whole, refit=False, folds=1)
    if epochs is None:
        return None
    return of_epochs(candidate, round(epochs, 1) if epochs >= 2 else round(epochs, 2))


def _longest(
    contest: Contest, candidate: Candidate, asked: float, *, refit: bool, folds: int | None = None
) -> float | None:
    share = SEEN_SLACK if cost_model.has_pace(contest, candidate) else SLACK

    def fits(epochs: float) -> bool:
        return cost_model.affordable(contest, of_epochs(candidate, epochs), share=share, refit=refit, folds=folds)

    low, high = fewest_epochs(contest, candidate), asked
    if asked <= low or not fits(low):
        return None
    if fits(high):
        return high
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def steps(contest: Contest, candidate: Candidate) -> int:
    """Count the optimizer steps of training a candidate on one fold; 0 for a head that is fitted at once."""
    context = contest.context(candidate.backbone, candidate.size_px)
    plan = contest.strategies_of(candidate).plan(candidate.parameters, context)
    return plan.steps if contest.is_deep(candidate) else 0


def fewest_epochs(contest: Contest, candidate: Candidate) -> float:
    """Give the fewest passes over the images that are worth a trial: fewer where one pass is many steps."""
    each = contest.context(candidate.backbone, candidate.size_px).steps_per_epoch
    return max(LEAST_EPOCHS, min(FEWEST_EPOCHS, FEWEST_STEPS / each))


def of_epochs(candidate: Candidate, epochs: float) -> Candidate:
    """Give the same candidate with another length."""
    return replace(candidate, parameters={**candidate.parameters, "epochs": epochs})


def untried(contest: Contest, contenders: Sequence[Trial]) -> list[str]:
    """Say of each regime of which nothing was tried why: its shortest training would take too long, or others came first."""
    best = min(contenders, key=lambda t: (t.log_loss, t.number)).candidate
    told = []
    for name in REGIMES:
        own = {n: s for n, s in contest.strategies.items() if s.regime == name}
        if not own or not contest.clocked or any(t.regime == name for t in contenders):
            continue
        guesses = candidates.guesses(
            own, contest.context(best.backbone, best.size_px), backbone=best.backbone, size_px=best.size_px
        )
        needed_s = min(
            (
                cost_model.train_s(contest, _briefest(contest, g), 2 * contest.images - contest.images // FOLDS)
                for g in guesses
            ),
            default=0.0,
        )
        asked_s = contest.clock.asked_s or 0.0
        why = f"even a short training would need about {durations.words(needed_s)} of the {durations.words(asked_s)}"
        why = why if needed_s > asked_s else "something else promised more for its time"
        told.append(f"{REGIME_WORDS[name]} was not tried: {why}")
    return told


def _briefest(contest: Contest, candidate: Candidate) -> Candidate:
    asked, least = candidate.parameters.get("epochs"), fewest_epochs(contest, candidate)
    return of_epochs(candidate, least) if isinstance(asked, int | float) and asked > least else candidate
