"""What the data show, in sentences: records -> text for terminal and report.

Pure. Does NOT cover: numbers in words (`wording`), drawings (`evidence_plots`), what to do next (`assessment`).
"""

from __future__ import annotations

from advisor.records import AccuracyAt, Forecast, Result
from advisor.records.data import JoinedImages, Relabelled
from advisor.records.insight import HEADS
from advisor.reporting import wording

SHOWN_CHANGES = 4  # pairs of classes
LITTLE = 0.01  # accuracy that twice the images should bring, below which collecting more is not advised


def forecast(result: Result) -> str:
    """Write what more training images would bring, or why that is unknown; "" for results without either."""
    part = result.forecast
    if part is None or not part.expected:
        return f"not measured: {result.forecast_reason}" if result.forecast_reason else ""
    now, *later = part.expected
    times = ("", "twice", "four times")
    parts = [
        f"with {times[step]} as many ({wording.number(at.images)}) about {at_most(at)}"
        for step, at in enumerate(later, start=1)
    ]
    return f"{wording.percent(now.accuracy, 0)} with today's {wording.number(now.images)}; {wording.series(parts)}"


def forecast_source(part: Forecast) -> str:
    """Write what was fitted or trained for a forecast."""
    if part.source == HEADS:
        return f"measured with {part.head} heads on frozen features"
    return f"measured by training {part.source} on parts of the images"


def relabelled(part: Relabelled) -> str:
    """Write how many labels were corrected, and from which classes to which."""
    pairs = [f"{one.images} {one.was} → {one.label}" for one in part.changes[:SHOWN_CHANGES]]
    more = len(part.changes) - SHOWN_CHANGES
    named = ", ".join([*pairs, *([f"{more} more kinds"] if more > 0 else [])])
    tested = f"{part.test_images} of them in the test" if part.test_images else "none of them in the test"
    labels = "label" if part.images == 1 else "labels"
    return f"{wording.number(part.images)} {labels} corrected by {part.file} ({named}), {tested}"


def joined(part: JoinedImages) -> str:
    """Write how many similar images the tool's own splits kept together."""
    groups = "group" if part.groups == 1 else "groups"
    return (
        f"{wording.number(part.images)} similar images in {wording.number(part.groups)} {groups}; each group is kept whole "
        "where the tool itself makes a split"
    )


def at_most(at: AccuracyAt) -> str:
    """Write an expected accuracy with its interval, in whole percent."""
    low, high = at.ci95
    return f"{wording.percent(at.accuracy, 0)} ({100 * low:.0f} to {100 * high:.0f} %)"


def gain_of_twice(part: Forecast) -> float:
    """Return the accuracy that twice the images are expected to bring."""
    return part.expected[1].accuracy - part.expected[0].accuracy if len(part.expected) > 1 else 0.0


def forecast_method(result: Result) -> str:
    """Write how the forecast was measured, and what it leaves out."""
    part = result.forecast
    if part is None:
        return ""
    if part.source != HEADS:
        return (
            f"Measured by training {part.source} on {part.backbone} on an eighth, a quarter and a half of the images that "
            f"each of {part.repeats} folds trains on, with the same parameters, and by the search's own training on all of "
            f"them; scored on the about {wording.number(part.held_out)} images that a fold holds out; beyond that a power "
            "law. The test images were not used."
        )
    method = (
        f"Measured with a {part.head} head on the frozen features of {part.backbone}: fitted on parts of the images for "
        f"training and validation, scored on {wording.number(part.held_out)} others of them, {part.repeats} times; beyond "
        "that a power law. The test images were not used."
    )
    if result.regime.name == "feature_extraction":
        return method
    return f"{method} The recommended model is fine-tuned, so its own accuracy differs; the slope is what counts."


def gains(part: Forecast) -> str:
    """Write which classes gain most from more images."""
    if not part.gains:
        return "No class stands out: more images of all of them."
    named = [f"{one.label} (+{100 * one.gain:.0f} points)" for one in part.gains]
    return f"Gained most when their images were doubled: {wording.series(named)}."
