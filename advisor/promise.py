"""What a trained candidate may be expected to reach, from what was measured so far: the order in which they are tried.

In: probes, finished trials, a candidate that was not tried. Out: an expected validation log-loss. The estimate is the
probe's log-loss at the candidate's place times a lift: what its strategy made of a probe elsewhere on these data, or,
before anything deep was trained, the table below. A guess, good enough to say what comes first; nothing is left out or
won by it. Pure. Does NOT cover: what fits into the time (contest.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from advisor.records import Candidate, Trial

# Log-loss after training over the log-loss of the ridge probe that it started beside: the mean over sketches, flowers,
# CIFAR-10 and ants with bees, about 1,000 images each (docs/advice.md, "What a guess brings").
LIFT = {
    "logistic": 0.86,
    "ridge": 1.0,
    "knn": 1.4,
    "prototypes": 1.7,
    "full": 0.75,
    "ema": 0.75,
    "wise_ft": 0.77,
    "l2_sp": 0.78,
    "gradual": 0.79,
    "lp_ft": 0.82,
    "norm_only": 0.82,
    "partial": 0.86,
    "bias_only": 0.9,
    "surgical": 0.9,
}
REGIME_LIFT = {"feature_extraction": 0.95, "partial": 0.85, "full": 0.78}
# The table holds for about so many steps of 32 images. With more of them the gain grows: to 0.6 after 1,250 (5,000 images of
# CIFAR-10, 8 epochs), and it shrinks to 0.8 after 75 (1,000 images, 3 epochs).
USUAL_STEPS, LENGTH_POWER = 250.0, 0.35
WEIGHT = 1.0  # of the table, in readings


def expected(candidate: Candidate, regime: str, steps: int, probes: Sequence[Trial], trials: Sequence[Trial]) -> float:
    """Expect a candidate's log-loss after training for so many steps, 0 for a head that is fitted at once.

    Infinite where its place was never probed.
    """
    floors = floor_by_place(probes)
    floor = floors.get((candidate.backbone, candidate.size_px))
    if floor is None:
        return math.inf
    gained = math.log(prior_lift(candidate.strategy, regime)) + surprise(candidate, floors, trials)
    return floor * math.exp(gained * length(steps))


def length(steps: int) -> float:
    """Say how the gain grows with the length of a training; 1 at the table's."""
    return (steps / USUAL_STEPS) ** LENGTH_POWER if steps else 1.0


def prior_lift(strategy: str, regime: str) -> float:
    """Give the table's word on a strategy, or on its regime where it is a stranger's."""
    return LIFT.get(strategy, REGIME_LIFT[regime])


def floor_by_place(probes: Sequence[Trial]) -> Mapping[tuple[str, int], float]:
    """Give the best probe's log-loss at every (backbone, input size)."""
    floors: dict[tuple[str, int], float] = {}
    for probe in probes:
        place = (probe.candidate.backbone, probe.candidate.size_px)
        floors[place] = min(floors.get(place, math.inf), probe.log_loss)
    return floors


def surprise(candidate: Candidate, floors: Mapping[tuple[str, int], float], trials: Sequence[Trial]) -> float:
    """Say by how much training paid better (below 0) or worse here than the table says, in log-loss ratios.

    Trials of the same strategy count twice, those on another network half; the table is one reading of no surprise.
    """
    total, weight = 0.0, WEIGHT
    for trial in trials:
        floor = floors.get((trial.candidate.backbone, trial.candidate.size_px))
        if trial.state != "complete" or not trial.steps or floor is None or trial.log_loss <= 0 or floor <= 0:
            continue
        counts = 2.0 if trial.candidate.strategy == candidate.strategy else 1.0
        counts *= 1.0 if trial.candidate.backbone == candidate.backbone else 0.5
        usual = math.log(prior_lift(trial.candidate.strategy, trial.regime))
        total += counts * (math.log(trial.log_loss / floor) / length(trial.steps) - usual)
        weight += counts
    return total / weight
