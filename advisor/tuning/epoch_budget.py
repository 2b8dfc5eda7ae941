"""How long a candidate may train in the time left: whole, shortened, or not at all.

In: a `SearchState` and a candidate. Out: the candidate as it fits, with time reserved for its refit, the test and the end.
Pure. Does NOT cover: what things cost (`cost_model`), in which order they are tried (`decisions`), measured paces (`pace`).
"""

from __future__ import annotations

import math
from dataclasses import replace

from advisor.hooks import Parameter
from advisor.records import Candidate
from advisor.records.trials import DEFAULT
from advisor.tuning import cost_model, policy
from advisor.tuning.search_state import SearchState


def fitted(state: SearchState, candidate: Candidate) -> Candidate | None:
    """Return the candidate as it can be finished in time: whole, else with fewer epochs, else None."""
    return candidate if cost_model.fits_time(state, candidate) else shortened(state, candidate)


def shortened(state: SearchState, candidate: Candidate) -> Candidate | None:
    """Return a trained candidate with the epochs that the time affords; None where they are too few to learn anything.

    The first training of a search gives up its refit rather than epochs where it runs on two folds, whose mean is worth
    one, and on one fold before it gives up more than half of them: five fourths of the images are worth less than that.
    """
    whole = length(state, candidate)
    if not state.has_deadline or whole is None:
        return None
    folds = cost_model.least_folds(state, candidate)
    epochs = _longest(state, candidate, whole, refit=True)
    # Not the untuned default, which is compared on all images.
    first = candidate.origin != DEFAULT and not state.has_trained
    if first and (epochs is None or epochs < (whole if folds > 1 else whole / 2)):
        without = _longest(state, candidate, whole, refit=False, folds=folds)
        epochs = without or epochs or _longest(state, candidate, whole, refit=False, folds=1)
    if epochs is None:
        return None
    return of_length(state, candidate, round(epochs, 1) if epochs >= 2 else round(epochs, 2))


def _longest(
    state: SearchState, candidate: Candidate, requested: float, *, refit: bool, folds: int | None = None
) -> float | None:
    share = policy.FILL_SHARE_MEASURED if cost_model.has_pace(state, candidate) else policy.FILL_SHARE

    def fits(epochs: float) -> bool:
        return cost_model.fits_time(state, of_length(state, candidate, epochs), share=share, refit=refit, folds=folds)

    low, high = fewest_epochs(state, candidate), requested
    if requested <= low or not fits(low):
        return None
    if fits(high):
        return high
    for _ in range(policy.EPOCH_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def steps(state: SearchState, candidate: Candidate) -> int:
    """Count the optimizer steps of training a candidate on one fold; 0 for a head that is fitted at once."""
    context = state.context(candidate.backbone, candidate.size_px)
    plan = state.strategy_of(candidate).plan(candidate.parameters, context)
    return plan.steps if state.trains_backbone(candidate) else 0


def fewest_epochs(state: SearchState, candidate: Candidate) -> float:
    """Return the fewest passes over the images that are worth a trial and legal: fewer where one pass is many steps."""
    each = state.context(candidate.backbone, candidate.size_px).steps_per_epoch
    worth = max(policy.MIN_EPOCHS_EVER, min(policy.MIN_EPOCHS, policy.MIN_STEPS / each))
    declared = _declared(state, candidate)
    fewest = worth if declared is None or declared.low is None else max(worth, declared.low)
    return math.ceil(fewest) if _in_whole_epochs(state, candidate) else fewest


def length(state: SearchState, candidate: Candidate) -> float | None:
    """Return a candidate's epochs where the search may change them; None where it has none, or its card lists choices."""
    epochs, declared = candidate.parameters.get("epochs"), _declared(state, candidate)
    if isinstance(epochs, bool) or not isinstance(epochs, int | float):
        return None
    return None if declared is not None and declared.kind == "choice" else float(epochs)


def of_length(state: SearchState, candidate: Candidate, epochs: float) -> Candidate:
    """Return the same candidate with another length, rounded down where its strategy counts epochs in whole numbers."""
    return of_epochs(candidate, max(1, math.floor(epochs)) if _in_whole_epochs(state, candidate) else epochs)


def _declared(state: SearchState, candidate: Candidate) -> Parameter | None:
    card = state.strategy_of(candidate).card
    return next((p for p in getattr(card, "parameters", ()) if p.name == "epochs"), None)


def _in_whole_epochs(state: SearchState, candidate: Candidate) -> bool:
    declared = _declared(state, candidate)
    return isinstance(candidate.parameters.get("epochs"), int) if declared is None else declared.kind == "int"


def of_epochs(candidate: Candidate, epochs: float) -> Candidate:
    """Return the same candidate with another length."""
    return replace(candidate, parameters={**candidate.parameters, "epochs": epochs})


def shortest(state: SearchState, candidate: Candidate) -> Candidate:
    """Return a candidate with the fewest epochs that are worth a trial, or unchanged if it has no length."""
    epochs, fewest = length(state, candidate), fewest_epochs(state, candidate)
    return of_epochs(candidate, fewest) if epochs is not None and epochs > fewest else candidate


def steps_to_time(state: SearchState, candidate: Candidate) -> int:
    """Count the steps of a training whose pace is unknown and may be timed in a small share of the time left; else 0.

    0 also where its shortest form would not fit if its pace were guessed far too slow: timing it would only take time.
    """
    count = steps(state, candidate)
    if not count or cost_model.has_pace(state, candidate):
        return 0
    least = shortest(state, candidate)
    least_s = cost_model.train_s(state, least, state.fold_images) / policy.PACE_DOUBT
    if least_s + cost_model.reserve_s(state, least, refit=False) > state.left_s:
        return 0
    each_s = cost_model.train_s(state, candidate, state.fold_images) / count
    return count if (policy.TIMED_WARMUP_STEPS + 1) * each_s <= policy.TIMED_STEPS_SHARE * state.left_s else 0
