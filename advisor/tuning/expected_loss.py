"""What a candidate may be expected to reach, from what was measured so far; `decisions.acquisition` turns it into a gain.

In: probes, finished trials, a candidate that was not tried. Out: an expected validation log-loss. The estimate is the log-loss
of the probe that the candidate starts from times a lift: that of the table below, which grows with the length of a training,
shifted by what trainings here differed from it, and by what the user's own finished runs showed (`experience`). Its errors
were measured on 726 recorded trainings (docs/search.md). A guess, good enough to say what comes first, and to settle ties
(`selection.verdict`). Pure. Does NOT cover: what fits into the time (`epoch_budget`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from advisor.records import Candidate, Experience, LiftReading, Trial
from advisor.tuning.candidates import BackboneAtSize

# Log-loss after training over the log-loss of the ridge probe that it started beside: the mean over sketches, flowers,
# CIFAR-10 and ants with bees, about 1,000 images each (docs/advice.md, "Gain of first guesses over the probe").
LIFT = {
    "logistic": 0.86,
    "ridge": 1.0,
    "knn": 1.4,
    "prototypes": 1.7,
    "full": 0.75,
    "ema": 0.71,  # 0.94 and 0.97 of full's log-loss at equal length (docs/strategies.md, 5 seeds)
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
# CIFAR-10, 8 epochs). With fewer it shrinks faster: on the recorded trainings, most of which are shorter than 75 steps, powers
# of 0.7 and 1.0 predicted about equally well, and better than 0.35.
USUAL_STEPS, LENGTH_POWER, SHORT_POWER = 250.0, 0.35, 0.7
WEIGHT = 1.0  # of the table, in readings
# Of the table, in the user's own finished runs: two of them shift it by a third of what they differ from it (chosen).
TABLE_RUNS = 4.0
NO_EXPERIENCE = Experience()
# The table is MobileNetV2's, of 0.72 on ImageNet. SqueezeNet, of 0.58, gained 0.22 of a logarithm in 250 steps on sketches
# where MobileNetV2 gained 0.5; a network without a published accuracy is taken for one of its kind.
PUBLISHED, UNPUBLISHED, PUBLISHED_POWER = 0.72, 0.58, 2.0
# Of the logarithm, chosen near the errors that expectations of recorded trainings had (docs/search.md): whatever a training's
# length, and larger before any was seen on the same data; a head's errors are a third of them.
OWN_SPREAD, SHARED_SPREAD, HEAD_SPREAD = 0.18, 0.2, 0.08
LAST = "last"  # of a head's `layers`: the features of the last stage alone, which a training's own head starts from


def expected(
    candidate: Candidate,
    regime: str,
    steps: int,
    probes: Sequence[Trial],
    trials: Sequence[Trial],
    published: Mapping[str, float | None] = MappingProxyType({}),
    *,
    experience: Experience = NO_EXPERIENCE,
) -> float:
    """Expect a candidate's log-loss after training for so many steps, 0 for a head that is fitted at once.

    `published` are the networks' accuracies on ImageNet, as fractions. Infinite where this backbone and size was never probed.
    """
    at, floors = BackboneAtSize.of(candidate), start_losses(probes, candidate, steps)
    if at not in floors:
        return math.inf
    usual = _usual(candidate.strategy, candidate.backbone, regime, steps, published) * length(steps)
    shifted = shift(candidate.strategy, candidate.backbone, regime, experience, published)
    return floors[at] * math.exp(usual + shifted + surprise(candidate, steps, probes, trials, published, experience))


def spread(steps: int, trials: Sequence[Trial]) -> float:
    """Return how far an expectation may be off, as the standard deviation of the log-loss's logarithm.

    Less for a head, and with every training that was seen.
    """
    trained = sum(1 for t in trials if t.state == "complete" and t.steps)
    return math.sqrt(OWN_SPREAD**2 + SHARED_SPREAD**2 / (1 + trained)) if steps else HEAD_SPREAD


def improvement(log_loss: float, spread: float, best: float) -> float:
    """Return the expected improvement of the best log-loss's logarithm: larger the less certain an expectation is.

    Source: Mockus 1975; Jones et al. 1998, equation 15, for a minimum.
    """
    if not math.isfinite(log_loss) or log_loss <= 0 or best <= 0:
        return 0.0
    gap = math.log(best / log_loss)
    z = gap / spread
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return gap * (1 + math.erf(z / math.sqrt(2))) / 2 + spread * density


def probability(log_loss: float, spread: float, best: float) -> float:
    """Return the probability that a candidate is better than the best log-loss so far, as `improvement` sees it."""
    if not math.isfinite(log_loss) or log_loss <= 0 or best <= 0:
        return 0.0
    return (1 + math.erf(math.log(best / log_loss) / spread / math.sqrt(2))) / 2 if math.isfinite(best) else 1.0


def length(steps: int) -> float:
    """Return the factor by which the gain grows with the length of a training; 1 at the table's length."""
    return (steps / USUAL_STEPS) ** (SHORT_POWER if steps < USUAL_STEPS else LENGTH_POWER) if steps else 1.0


def prior_lift(strategy: str, regime: str) -> float:
    """Return the table's lift of a strategy, or of its regime where the table lacks it."""
    return LIFT.get(strategy, REGIME_LIFT[regime])


def probe_losses(probes: Sequence[Trial]) -> Mapping[BackboneAtSize, float]:
    """Return the best probe's log-loss for every backbone and size."""
    floors: dict[BackboneAtSize, float] = {}
    for probe in probes:
        at = BackboneAtSize.of(probe.candidate)
        floors[at] = min(floors.get(at, math.inf), probe.loss)
    return floors


def start_losses(probes: Sequence[Trial], candidate: Candidate, steps: int) -> Mapping[BackboneAtSize, float]:
    """Return, for every backbone and size, the log-loss of the probe that a candidate starts from.

    A training starts from the last stage's features, and a head from those of its own layers: what the last stage shows may
    be far from what all of them do. Where that probe is missing, the best one stands for it.
    """
    layers = LAST if steps else candidate.parameters.get("layers")
    alike = [p for p in probes if p.candidate.parameters.get("layers") == layers]
    return {**probe_losses(probes), **probe_losses(alike)}


def surprise(
    candidate: Candidate,
    steps: int,
    probes: Sequence[Trial],
    trials: Sequence[Trial],
    published: Mapping[str, float | None] = MappingProxyType({}),
    experience: Experience = NO_EXPERIENCE,
) -> float:
    """Return by how much trainings ended lower (below 0) or higher here than the table says, as a logarithm.

    Trials of the same strategy count twice, those on another network half; the table is one reading of no surprise. Of a head
    (0 steps), only heads of the same strategy say anything, and heads say nothing of a training. A training's surprise is the
    same for a short training and a long one: scaled by their lengths, what a short one missed by chance would become a large
    error of the long ones.
    """
    total, weight = 0.0, WEIGHT
    for trial in trials:
        own = trial.candidate
        floor = start_losses(probes, own, trial.steps).get(BackboneAtSize.of(own))
        if trial.state != "complete" or floor is None or trial.loss <= 0 or floor <= 0:
            continue
        alike = own.strategy == candidate.strategy
        if bool(trial.steps) != bool(steps) or not (steps or alike):
            continue
        counts = 2.0 if alike else 1.0
        counts *= 1.0 if own.backbone == candidate.backbone else 0.5
        usual = _usual(own.strategy, own.backbone, trial.regime, trial.steps, published) * length(trial.steps)
        usual += shift(own.strategy, own.backbone, trial.regime, experience, published)
        total += counts * (math.log(trial.loss / floor) - usual)
        weight += counts
    return total / weight


def shift(
    strategy: str,
    backbone: str,
    regime: str,
    experience: Experience,
    published: Mapping[str, float | None] = MappingProxyType({}),
) -> float:
    """Return by how much finished runs shift the table's lift, as a logarithm: their mean difference from the table.

    It is shrunk towards 0 by the number of runs. A run counts whole for the same strategy on the same network, half for
    another strategy of the same regime or another network, a quarter for both; a head informs its own strategy only.
    """
    total, weight = 0.0, TABLE_RUNS
    for reading in experience.readings:
        counts = _nearness(strategy, backbone, regime, reading) * reading.runs
        steps = int(reading.regime != "feature_extraction")
        usual = _usual(reading.strategy, reading.backbone, reading.regime, steps, published)
        total += counts * (reading.lift - usual)
        weight += counts
    return total / weight


def _nearness(strategy: str, backbone: str, regime: str, reading: LiftReading) -> float:
    if reading.regime != regime or (regime == "feature_extraction" and reading.strategy != strategy):
        return 0.0
    return (1.0 if reading.strategy == strategy else 0.5) * (1.0 if reading.backbone == backbone else 0.5)


def _usual(strategy: str, backbone: str, regime: str, steps: int, published: Mapping[str, float | None]) -> float:
    """Return the logarithm of the table's lift, smaller where the network was less accurate before."""
    usual = math.log(prior_lift(strategy, regime))
    if not steps or backbone not in published:
        return usual
    learned = published[backbone] or UNPUBLISHED
    return usual * math.pow(learned / PUBLISHED, PUBLISHED_POWER)
