"""What a result is worth and what to do next: `Result` -> a plain verdict and steps that follow from *this* result.

Terminal, report, model card and notebooks agree because all of them use this module. Pure. Does NOT cover: wording of
numbers (`wording`), layout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from advisor.records import ClassScore, Result, TestScore
from advisor.reporting import insight_text, wording

FEW_TEST_IMAGES = 10  # of a class, under which its own score says little
WIDE = 0.10  # an interval from end to end, above which the score is called uncertain
# Accuracy above always guessing, from which on a failed proof is due to few images rather than to the model.
CLEAR = 0.10
WEAK = 0.10  # recall of a class below the accuracy by so much: a weak class
SHOWN_WEAK = 3
SHOWN_STEPS = 5


@dataclass(frozen=True, kw_only=True)
class MajorityBaseline:
    """Always answering the largest class of the test set: its name, and the share of images for which that is right."""

    label: str
    share: float


@dataclass(frozen=True, kw_only=True)
class WeakClass:
    """A class of the test set that is recognised less often than the others, and what it is mistaken for most often."""

    label: str
    recall: float
    n: int
    mistaken_for: str


@dataclass(frozen=True, kw_only=True)
class NextStep:
    """Something to do next: why, and the command for it ("" where there is none)."""

    text: str
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """The plain verdict: `state` is "good", "uncertain", "bad" or "unknown"; `verdict` says it in a sentence."""

    state: str
    verdict: str
    guess: MajorityBaseline | None
    weak: tuple[WeakClass, ...]
    steps: tuple[NextStep, ...]


def assess(result: Result, run: str = "RUN") -> Assessment:
    """Return the verdict, the weak classes, and the next steps; `run` is the directory that commands name."""
    guess = largest_class(result.test, result.majority) if result.test else None
    weak = weak_classes(result.test) if result.test else ()
    state, verdict = _verdict(result, guess, weak)
    return Assessment(
        state=state, verdict=verdict, guess=guess, weak=weak, steps=_steps(result, state, weak, run)[:SHOWN_STEPS]
    )


def largest_class(test: TestScore, share: float | None = None) -> MajorityBaseline | None:
    """Return what always answering the largest class would score; None without classes.

    `share` is what the result states; without it, the test's counts decide.
    """
    total = sum(score.n for score in test.per_class.values())
    if not total:
        return None
    if share is not None:
        label = min(test.per_class, key=lambda name: abs(test.per_class[name].n / total - share))
        return MajorityBaseline(label=label, share=share)
    label, score = max(test.per_class.items(), key=lambda item: item[1].n)
    return MajorityBaseline(label=label, share=score.n / total)


def failing(one: WeakClass) -> str:
    """Write how a weak class does."""
    confused = f", most often mistaken for {one.mistaken_for}" if one.mistaken_for else ""
    return f"{one.label}: {wording.percent(one.recall, 0)} of {wording.images(one.n, 'test')} recognised{confused}"


def weak_classes(test: TestScore) -> tuple[WeakClass, ...]:
    """Return the classes with enough test images whose recall is clearly below the accuracy, worst first."""
    names = list(test.per_class)
    weak = [
        WeakClass(label=name, recall=score.recall, n=score.n, mistaken_for=_mistaken_for(test, names, index))
        for index, (name, score) in enumerate(test.per_class.items())
        if score.recall is not None and score.n >= FEW_TEST_IMAGES and score.recall < test.accuracy - WEAK
    ]
    return tuple(sorted(weak, key=lambda one: (one.recall, one.label))[:SHOWN_WEAK])


def small_classes(per_class: dict[str, ClassScore]) -> list[str]:
    """Return the classes with too few test images for a score of their own."""
    return [name for name, score in per_class.items() if score.n < FEW_TEST_IMAGES]


def _mistaken_for(test: TestScore, names: list[str], index: int) -> str:
    if len(test.confusion) != len(names):
        return ""
    row = [count if j != index else 0 for j, count in enumerate(test.confusion[index])]
    return names[row.index(max(row))] if max(row, default=0) else ""


# ---- the verdict -------------------------------------------------------------------------------------------------


def _verdict(result: Result, guess: MajorityBaseline | None, weak: tuple[WeakClass, ...]) -> tuple[str, str]:
    test = result.test
    if test is None or guess is None:
        return "unknown", "Not tested on held-out images, so how good it is on new images is unknown."
    learned = test.ci95[0] > guess.share if result.learned is None else result.learned
    wide = test.ci95[1] - test.ci95[0] > WIDE
    if not learned and wide and test.accuracy - guess.share >= CLEAR:
        return "uncertain", (
            f"Too few test images ({test.n}) to show that it is better than always answering {guess.label} "
            f"({wording.percent(guess.share)})."
        )
    if not learned:
        return "bad", (
            f"Do not use it: it is not better than always answering {guess.label} "
            f"({wording.percent(guess.share)}), beyond chance."
        )
    worst = f", worst for {weak[0].label}" if weak else ""
    if wide:
        return "uncertain", (
            f"It has learned to tell the classes apart{worst}, but there are too few test images to say how well."
        )
    digits = 0 if test.ci95[0] >= 0.1 else 1  # of 1,000 classes, 1.9 % is not 1 %
    least = math.floor(10**digits * 100 * test.ci95[0]) / 10**digits / 100
    expected = f"Expect at least {wording.percent(least, digits)} right on new images like these"
    return "good", f"{expected}{worst}. Whether that is good enough depends on the use."


# ---- what to do next ---------------------------------------------------------------------------------------------


def _steps(result: Result, state: str, weak: tuple[WeakClass, ...], run: str) -> tuple[NextStep, ...]:
    steps: list[NextStep] = []
    if state == "bad":
        steps.append(NextStep(text="Check the labels and whether the images show what the classes differ in."))
    steps += [_collect(one) for one in weak]
    if (more := _more_images(result)) is not None:
        steps.append(more)
    if (wider := _uncertain(result)) is not None:
        steps.append(wider)
    if (longer := _more_time(result)) is not None:
        steps.append(longer)
    if (better := _other_network(result)) is not None:
        steps.append(better)
    if state in ("good", "uncertain"):
        steps.append(NextStep(text="Classify new images:", command=f"tl-advise predict {run} PHOTOS"))
    return tuple(steps)


def _collect(one: WeakClass) -> NextStep:
    beside = f", also ones that look like {one.mistaken_for}" if one.mistaken_for else ""
    return NextStep(text=f"Collect more images of {one.label}{beside}.")


def _more_images(result: Result) -> NextStep | None:
    """Suggest more training images where twice as many are expected to bring a gain that shows."""
    part = result.forecast
    if part is None or insight_text.gain_of_twice(part) < insight_text.LITTLE:
        return None
    of = f", above all of {wording.series([one.label for one in part.gains])}" if part.gains else ""
    now, twice = (wording.percent(at.accuracy, 0) for at in part.expected[:2])
    return NextStep(
        text=f"Collect more training images{of}: twice as many are expected to bring {twice} instead of {now}."
    )


def _uncertain(result: Result) -> NextStep | None:
    test = result.test
    if test is None or test.ci95[1] - test.ci95[0] <= WIDE:
        return None
    half = (test.ci95[1] - test.ci95[0]) / 2
    needed = math.ceil(test.n * (half / (WIDE / 2)) ** 2 / 10) * 10
    return NextStep(
        text=f"Add test images: about {wording.number(needed)} make the score certain to ±{100 * WIDE / 2:.0f} points."
    )


def _more_time(result: Result) -> NextStep | None:
    """Suggest a longer run where time ended the search or was too short for a regime that was not tried."""
    limit = result.budget.asked_s
    short = [one for one in result.untried if one.needs_s is not None and one.needs_s > (one.left_s or 0.0)]
    stopped = result.stopped_because
    if limit is None or not (short or (stopped is not None and stopped.reason == "time")):
        return None
    longer = wording.duration_option(max([900.0, 4 * limit, *(3 * (one.needs_s or 0.0) for one in short)]))
    missing = wording.series([wording.regime(one.regime) for one in short])
    return NextStep(
        text=f"Give it more time: {missing} did not fit into the budget." if short else "Give it more time.",
        command=f"tl-advise {wording.quoted(result.dataset.path)} --budget {longer}",
    )


def _other_network(result: Result) -> NextStep | None:
    named = [item for item in result.left_out if item.command]
    if not named:
        return None
    first = named[0]
    size = wording.megabytes(first.bytes)
    text = f"Let {first.backbone} take part, which was not tried" + (f" ({size} to download)." if size else ".")
    return NextStep(text=text, command=first.command)
