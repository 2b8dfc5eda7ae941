"""What work costs before anything was measured, how measured speeds correct that, and how many images a budget affords.

In: images, multiply-adds, measured seconds. Out: predicted seconds. Under `--trials` alone no measured speed decides anything:
what must be chosen is chosen from the fixed table below (docs/design.md 4.5).
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from advisor.data.pixels import LARGE_JPEG
from advisor.data.subsample import Subsample, draw
from advisor.hooks import Backbone, Context, Strategy
from advisor.records import Candidate, Dataset, Item
from advisor.runtime import durations
from advisor.runtime.progress import Listener
from advisor.tuning import policy

# Multiply-adds a second that a small network reaches: cards and fixed numbers, so that a choice made from them is the
# same on every machine. Measured with MobileNetV2 in float32 on two cores (67 images/s at 224 px x 0.3 GMACs) and
# rounded; a GPU is taken as a mid-range one. Only orders of magnitude matter here.
MACS_PER_S = {"cpu": 2.0e10, "cuda": 2.0e12}
# Seconds for each pixel of a large photo that is decoded, on as many threads: a JPEG at a reduced scale, any other format in
# full. Photos of 12 megapixels take 40 and 250 ms of one thread; smaller images take less time than their pass.
DECODE_S = {"cpu": (1.7e-9, 1.0e-8), "cuda": (4.0e-10, 2.5e-9)}
JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif")
CARD_THREADS = 2  # with which the CPU's number was measured
TRAIN_FACTOR = 3.0  # forward, and backward for activations and for weights
SCORING = 0.3  # of a frozen pass, for the scores of a training on the way
START_S = 8.0  # importing torch and opening the first network, on a slow disk
FINISH_S = 4.0  # writing model, recipe, report
FLOOR_S = START_S + FINISH_S + 8.0  # what the shortest run takes: the above, and one probe and the test on samples


def extraction_s(images: int, macs: float, device: str) -> float:
    """Predict the seconds of one frozen pass over `images` images, from the card's multiply-adds per image."""
    return images * macs / MACS_PER_S["cuda" if device.startswith("cuda") else "cpu"]


def decoding_s(items: Sequence[Item], device: str) -> float:
    """Predict the seconds of decoding the large photos among these items, from their headers."""
    jpeg_s, other_s = DECODE_S["cuda" if device.startswith("cuda") else "cpu"]
    large = [i for i in items if i.width * i.height > LARGE_JPEG]
    return sum(i.width * i.height * (jpeg_s if i.path.lower().endswith(JPEG_SUFFIXES) else other_s) for i in large)


def at_size(macs: float | None, default_px: int, size_px: int) -> float:
    """Scale a card's multiply-adds to another input size; an unknown card counts as 1 GMAC."""
    return (macs or 1.0e9) * (size_px / default_px) ** 2


def card_s(
    candidate: Candidate,
    strategy: Strategy,
    backbone: Backbone,
    context: Context,
    images: int,
    *,
    has_features: bool = False,
) -> float:
    """Predict the seconds of training a candidate on `images` images, from cards alone; heads cost one frozen pass.

    `has_features` says that a probe has left those that a training's head starts from.
    """
    macs = at_size(backbone.macs, backbone.preprocess.size, candidate.size_px or backbone.preprocess.size)
    plan = strategy.plan(candidate.parameters, context)
    frozen = extraction_s(images, macs, context.device)
    if not plan.phases:
        return frozen
    epochs = plan.steps / context.steps_per_epoch
    trained = {name for phase in plan.phases for name, rate in phase.rates.items() if rate > 0}
    first = next((i for i, s in enumerate(context.stages) if s.name in trained), len(context.stages))
    share = 1.0 - first / max(1, len(context.stages))
    # What lies before the first trained stage runs once for each view and is kept; the rest is trained every epoch.
    passes = min(plan.views, epochs) if plan.views and first else epochs
    start = SCORING if has_features else 1.0
    return frozen * (start + passes * (1.0 - share) + epochs * TRAIN_FACTOR * share)


@dataclass
class Speed:
    """What was measured against what the cards predict: a running ratio of seconds, 1.0 before the first reading."""

    ratio: float = 1.0
    readings: int = 0

    def learn(self, predicted_s: float, taken_s: float) -> None:
        """Update the estimate by a reading: the mean of the first two, then an exponential average."""
        if predicted_s <= 0 or taken_s <= 0:
            return
        fresh = taken_s / predicted_s
        weight = 1.0 if self.readings == 0 else 0.5
        self.ratio += weight * (fresh - self.ratio)
        self.readings += 1


@dataclass
class Speeds:
    """Readings by name (of a backbone): the same multiply-adds take one network ten times as long as another."""

    by_name: dict[str, Speed] = field(default_factory=dict)

    def known(self, name: str) -> bool:
        """Return True if there is a reading of this name."""
        return name in self.by_name

    def ratio(self, name: str) -> float:
        """Return a name's ratio; for one that was not measured the mean of those that were, or 1.0."""
        if name in self.by_name:
            return self.by_name[name].ratio
        return statistics.fmean(s.ratio for s in self.by_name.values()) if self.by_name else 1.0

    def learn(self, name: str, predicted_s: float, taken_s: float) -> None:
        """Update the estimate by a reading."""
        if predicted_s > 0 and taken_s > 0:
            self.by_name.setdefault(name, Speed()).learn(predicted_s, taken_s)


@dataclass
class MeasuredSpeeds:
    """The one table that the search learns speeds in: of frozen passes, and of trainings by regime, each by backbone.

    A training of another regime does not inform: a cached prefix costs unlike the rest. `slowdown` is how much slower the
    machine is now than at the first probe, since other processes began or ended; readings are kept as of the first probe.
    `first_contention` is how much slower it was then than an idle one. `decode_s` is an image's, at the slowest size.
    """

    passes: Speeds = field(default_factory=Speeds)
    trainings: dict[str, Speeds] = field(default_factory=dict)
    decode_s: float = 0.0
    slowdown: float = 1.0
    first_contention: float = 1.0

    def has_training(self, regime: str, backbone: str) -> bool:
        """Return True if a training of this regime on this backbone was measured."""
        return regime in self.trainings and self.trainings[regime].known(backbone)

    def observe_training(self, regime: str, backbone: str, predicted_s: float, taken_s: float) -> None:
        """Update by the seconds that a training took, beside those that cards predict for it."""
        self.trainings.setdefault(regime, Speeds()).learn(backbone, predicted_s, taken_s / self.slowdown)

    def observe_pass(self, backbone: str, predicted_s: float, taken_s: float) -> None:
        """Update by the seconds that a frozen pass took, beside those that cards predict for it."""
        self.passes.learn(backbone, predicted_s, taken_s / self.slowdown)

    def observe_decoding(self, image_s: float) -> None:
        """Update by the seconds that decoding an image took."""
        self.decode_s = max(self.decode_s, image_s / self.slowdown)


def cheapest_macs(backbones: Sequence[Backbone], sizes: Mapping[str, tuple[int, ...]]) -> float:
    """Return the multiply-adds of one image on the cheapest backbone and size."""
    return min(at_size(b.macs, b.preprocess.size, min(sizes[b.name])) for b in backbones)


def affordable_images(items: Sequence[Item], macs: float, device: str, seconds: float) -> int | None:
    """Return how many items may be decoded and pass once in so many seconds, at least 20 per class; None for all of them."""
    each = extraction_s(1, macs, device) + decoding_s(items, device) / max(1, len(items))
    floor = 20 * len({i.label for i in items})
    number = max(floor, int(seconds / max(each, 1e-9)))
    return None if number >= len(items) else number


def for_budget(
    dataset: Dataset,
    budget_s: float | None,
    device: str,
    backbones: Sequence[Backbone],
    sizes: Mapping[str, tuple[int, ...]],
    *,
    threads: int | None = None,
) -> Subsample:
    """Choose the pool and test items that the budget affords, from cards alone; `threads` is what the user set, if anything.

    What this machine could do is not asked: a run that is resumed on another one must draw the same items.
    """
    if budget_s is None:
        return draw(dataset, None, None)
    usable_s = max(1.0, budget_s - START_S - FINISH_S)
    slow = 1.0 if threads is None or device.startswith("cuda") else min(1.0, threads / CARD_THREADS)
    macs = cheapest_macs(backbones, sizes)
    pool_s = max(
        policy.POOL_PASS_SHARE * usable_s, min(policy.SHORT_POOL_PASS_SHARE * usable_s, policy.SHORT_POOL_PASS_S)
    )
    test_s = policy.TEST_SCORING_SHARE * usable_s
    pool = affordable_images(dataset.pool, macs, device, slow * pool_s)
    test = affordable_images(dataset.test, macs, device, slow * test_s) if dataset.test else None
    return draw(dataset, pool, test)


def note_if_short(budget_s: float | None, listener: Listener) -> None:
    """Notify the listener if the budget is shorter than the minimum that a run does anyway."""
    if budget_s is not None and budget_s < FLOOR_S:
        listener.note(
            f"a budget of {durations.words(budget_s)} is shorter than the minimum of about "
            f"{durations.words(FLOOR_S)} (start-up, one probe on a sample, the test), which is done anyway"
        )
