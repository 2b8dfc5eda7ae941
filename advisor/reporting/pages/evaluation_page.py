"""What an evaluation of a model on other labelled images says: sentences for the terminal, and one page for both.

In: an evaluation (`workflows.finished.evaluation`). Out: plain sentences, and a self-contained HTML
page in the style of the report.
Does NOT cover: the numbers.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from advisor.records import Mistake, TestScore, Unreadable
from advisor.records.objective import OBJECTIVE_WORDS, ObjectiveScore
from advisor.reporting import html_page, wording
from advisor.reporting.charts import evidence_plots

if TYPE_CHECKING:
    from collections.abc import Mapping

SHOWN = 5
# Objectives that may ask for another answer than the most probable class.
WITH_RULE = ("balanced_accuracy", "macro_f1", "cost")
MOST_PROBABLE = (
    "Accuracy, classes, confusions and mistakes are those of the most probable class; the objective and predictions.csv "
    "follow the run's decision rule."
)


class Evaluated(Protocol):
    """What is read of an evaluation."""

    @property
    def run(self) -> str: ...
    @property
    def data(self) -> str: ...
    @property
    def test(self) -> TestScore: ...
    @property
    def objective(self) -> ObjectiveScore: ...
    @property
    def ece(self) -> float: ...
    @property
    def majority(self) -> float: ...
    @property
    def learned(self) -> bool: ...
    @property
    def mistakes(self) -> tuple[Mistake, ...]: ...
    @property
    def f1(self) -> Mapping[str, float | None]: ...
    @property
    def shift(self) -> Any: ...
    @property
    def unlike(self) -> float | None: ...
    @property
    def unknown_classes(self) -> Mapping[str, int]: ...
    @property
    def missing_classes(self) -> tuple[str, ...]: ...
    @property
    def seen(self) -> int: ...
    @property
    def unreadable(self) -> tuple[Unreadable, ...]: ...


def headline(result: Evaluated) -> list[str]:
    """Return the score beside guessing, the objective, and the comparison with the locked test, as sentences."""
    test, shift = result.test, result.shift
    lines = [
        f"{Path(result.data).name}: {wording.percent(test.accuracy)} of {wording.images(test.n)} "
        f"{_are(test.n)} right "
        f"(95 % interval {wording.span(test.ci95)}); balanced accuracy {wording.percent(test.balanced_accuracy)}.",
        f"Always answering the largest class would be right for {wording.percent(result.majority)}"
        + ("." if result.learned else ": these images do not show that the model is better than that."),
        _objective(result.objective),
        *([MOST_PROBABLE] if result.objective.name in WITH_RULE else []),
    ]
    if shift is None:
        return [*lines, "The run has no locked test to compare with."]
    verdict = "no clear difference" if shift.ci95[0] <= 0.0 <= shift.ci95[1] else "a clear difference"
    lines.append(
        f"The locked test of the run: {wording.percent(shift.test_accuracy)} of {wording.number(shift.test_n)}; the change is "
        f"{wording.points(shift.accuracy)} (95 % interval {wording.point_span(shift.ci95)}), {verdict}."
    )
    return [*lines, *_shifted(result)]


def _objective(score: ObjectiveScore) -> str:
    if score.value is None:
        return f"{OBJECTIVE_WORDS[score.name].score}: {score.note}."
    stated = score.ci95 is not None and all(map(math.isfinite, score.ci95))  # a single loss says nothing of its spread
    interval = f" (95 % interval {score.ci95[0]:.3f} to {score.ci95[1]:.3f})" if score.ci95 and stated else ""
    return f"The run's objective, {OBJECTIVE_WORDS[score.name].score}: {score.value:.3f}{interval}."


def _shifted(result: Evaluated) -> list[str]:
    shift = result.shift
    mixed = (
        f"Classes: {wording.percent(shift.labels)} of the images would have to change class to have the test's shares"
    )
    lines = [
        f"{mixed}."
        if shift.reweighted is None
        else f"{mixed}; with those shares {wording.percent(shift.reweighted)} would be right."
    ]
    if shift.unlike is not None:
        expected = (
            "" if shift.unlike_expected is None else f" (of the locked test: {wording.percent(shift.unlike_expected)})"
        )
        lines.append(f"Images unlike the training images: {wording.percent(shift.unlike)}{expected}.")
    return lines


def mistake(one: Mistake) -> str:
    """Write a mistake in a line."""
    return f"mistake: {one.path} is {one.label}, taken for {one.predicted} ({wording.percent(one.confidence, 0)} sure)"


def cautions(result: Evaluated) -> list[str]:
    """Return what limits the scores: images seen in training, unknown and missing classes, unreadable files."""
    lines = []
    if result.seen:
        are = "is a training image" if result.seen == 1 else "are training images"
        lines.append(f"{result.seen} of these images {are} of the run: the score is too good.")
    if result.unknown_classes:
        total = sum(result.unknown_classes.values())
        names = _some(f"{name} ({count})" for name, count in result.unknown_classes.items())
        lines.append(
            f"{wording.images(total)} of classes that the model does not know {_are(total)} not scored: {names}."
        )
    if result.missing_classes:
        lines.append(f"no image here of {_some(result.missing_classes)}: nothing is known about these classes.")
    if result.unreadable:
        names = _some(f"{file.path} ({file.reason.rstrip('.')})" for file in result.unreadable)
        count = len(result.unreadable)
        lines.append(f"{wording.images(count)} cannot be read and {_are(count)} not scored: {names}.")
    return lines


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _some(names: Any) -> str:
    listed = list(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return f"{', '.join(listed[:SHOWN])}{more}"


def render(result: Evaluated) -> str:
    """Return the page."""
    names = list(result.test.per_class)
    classes = [
        (
            name,
            wording.percent(score.recall),
            wording.percent(score.precision),
            wording.percent(result.f1[name]),
            wording.number(score.n),
        )
        for name, score in result.test.per_class.items()
    ]
    wrong = [(m.path, m.label, m.predicted, wording.percent(m.confidence, 0)) for m in result.mistakes]
    first = [*headline(result), f"Average gap between confidence and accuracy: {wording.percent(result.ece)}."]
    score, *facts = [*first, *cautions(result)]
    sections = [(score, html_page.bullets(facts))]
    sections.append(
        ("Per class.", html_page.table(("class", "recall", "precision", "F1", "images"), classes)),
    )
    sections.append(
        (
            "Confusion matrix: rows are labels, columns are the most probable classes.",
            evidence_plots.confusion(names, result.test.confusion),
        )
    )
    if wrong:
        sections.append(
            ("Most confident mistakes.", html_page.table(("image", "label", "answer", "confidence"), wrong)),
        )
    return html_page.page(f"{Path(result.run).name} on {Path(result.data).name}", sections)
