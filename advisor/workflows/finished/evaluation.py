"""The model of a run on other labelled images: the same scores as on the locked test, and how far these images differ.

In: a predictor, a run directory, a data set in any layout. Out: an `Evaluation`, and its tables. Nothing is trained and
nothing is chosen. Images of classes that the model does not know are counted apart, and score nothing. Does NOT cover:
showing it (`cli.evaluate`), the page (`reporting.pages.evaluation_page`).
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from advisor.aliases import CountProgress, Float64s, NamedProgress, Rows
from advisor.data import changes, dataset, splits
from advisor.data.archives import unpacking
from advisor.data.decoding import decode_limits
from advisor.data.remote import urls
from advisor.errors import InputError
from advisor.execution import test_scoring
from advisor.insight import guessing
from advisor.metrics import classification, objectives
from advisor.models import ensemble_predictor
from advisor.models.ensemble_predictor import EnsemblePredictor
from advisor.models.predict import Predictions
from advisor.models.predictor import Predictor
from advisor.records import Compute, Item, Mistake, TestScore, Unreadable, recipe_file
from advisor.records.data import LabelledFile, ReadOptions
from advisor.records.objective import ObjectiveScore, ObjectiveSpec
from advisor.reporting import stored_results
from advisor.selection import insights

SPLITS = ("all", "train", "val", "test")
RATE = 0.05  # of false alarms, at which images count as unlike the training images


@dataclass(frozen=True, kw_only=True)
class Shift:
    """How these images differ from the locked test of the run.

    `accuracy` is theirs minus the test's, with a 95 % interval. `labels` (0..1) is half the summed difference of the class
    shares, and `reweighted` the accuracy if the classes were as frequent as in the test. `unlike` is the share of images
    that are unlike the training images, where `unlike_expected` would be of images like the test; None without an index.
    """

    test_accuracy: float
    test_n: int
    accuracy: float
    ci95: tuple[float, float]
    labels: float
    reweighted: float | None
    unlike: float | None
    unlike_expected: float | None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Scores of a run's model on the labelled images of `data` whose class it knows.

    `unknown_classes` counts images of classes that it does not know, `missing_classes` are classes without an image here.
    `seen` images have the same bytes as training images of the run, which makes the score too good.
    """

    run: str
    data: str
    split: str
    backbone: str
    weights_sha256: str
    test: TestScore
    objective: ObjectiveScore
    ece: float
    majority: float
    learned: bool
    mistakes: tuple[Mistake, ...]
    f1: dict[str, float | None]
    shift: Shift | None
    unlike: float | None
    unknown_classes: dict[str, int]
    missing_classes: tuple[str, ...]
    seen: int
    unreadable: tuple[Unreadable, ...]

    def __repr__(self) -> str:
        return f"Evaluation({self.run} on {self.data}: {self.test.accuracy:.1%} of {self.test.n} images are right)"


@dataclass(frozen=True, kw_only=True)
class EvaluatedImages:
    """An evaluation with what its tables are made of: the images, their probabilities (n, K) and the decided classes."""

    evaluation: Evaluation
    items: tuple[Item, ...]
    probabilities_nK: Float64s
    decided_n: Rows


@decode_limits.put_back()
def evaluate(
    predictor: Predictor | EnsemblePredictor,
    run: Path,
    data: str | Path,
    *,
    split: str = "all",
    options: ReadOptions | None = None,
    access: Mapping[str, Any] | None = None,
    compute: Compute | None = None,
    progress: CountProgress | None = None,
) -> EvaluatedImages:
    """Score a model on labelled images; `split` chooses those of a given split.

    `access` are `offline` and `note` of `dataset.find`, for data by URL.

    Raises DatasetError where `data` cannot be read as labelled images, InputError where no image has a class that the
    model knows, or none of them can be read.
    """
    listing = dataset.find(data, options, **(access or {}))
    entries = [entry for entry in listing.entries if split in ("all", entry.given)]
    scored_entries = [entry for entry in entries if entry.label in predictor.classes]
    if not scored_entries:
        raise _nothing(predictor.classes, entries, split, urls.public(data))
    paths = [str(listing.root / entry.path) for entry in scored_entries]
    answers = predictor.predict(paths, compute=compute, progress=progress)
    if not answers.paths:
        raise InputError(f"{urls.public(data)}: none of the {len(paths)} images can be read.", hint="Check the files.")
    by_path = dict(zip(paths, scored_entries, strict=True))
    items = tuple(_item(by_path[path], Path(path), predictor.classes) for path in answers.paths)
    unknown = Counter(entry.label for entry in entries if entry.label not in predictor.classes)
    return _scored(predictor, run, urls.public(data), split, items, answers, dict(sorted(unknown.items())))


def of_run(
    predictor: Predictor | EnsemblePredictor,
    run: str | PathLike[str],
    data: str | PathLike[str],
    *,
    split: str = "all",
    offline: bool = False,
    progress: NamedProgress | None = None,
    **reading: Any,
) -> Evaluation:
    """Return the scores of a run's model on labelled images, as `evaluate`.

    Raises InputError for an unknown split, or a field that `ReadOptions` has not.
    """
    unknown = sorted(set(reading) - {field.name for field in fields(ReadOptions)})
    if unknown or split not in SPLITS:
        fault = f"there is no option {unknown[0]!r}" if unknown else f"there is no split {split!r}"
        raise InputError(f"{fault}.", hint=f"Splits are {', '.join(SPLITS)}; see help(advisor.evaluate).")
    run_dir = ensemble_predictor.run_of(run)
    report = None if progress is None else lambda done, total: progress("scoring", done, total)
    options = ReadOptions(**reading)
    access = {"offline": offline}
    scored = evaluate(predictor, run_dir, os.fspath(data), split=split, options=options, access=access, progress=report)
    return scored.evaluation


def _nothing(classes: Sequence[str], entries: Sequence[LabelledFile], split: str, data: str) -> InputError:
    names = ", ".join(sorted({entry.label for entry in entries})[:5])
    if not entries:
        return InputError(f"{data}: there are no images of the split {split}.", hint="Omit --split.")
    return InputError(
        f"{data}: no image has a class that the model knows; the classes there are {names}.",
        hint=f"The model knows {', '.join(classes[:5])}: name the folders, or the labels, like that.",
    )


def _item(entry: LabelledFile, file: Path, classes: Sequence[str]) -> Item:
    return Item(
        path=entry.path,
        label=list(classes).index(entry.label),
        given=entry.given,
        split="test",
        sha256=changes.content(file),
        width=0,
        height=0,
        mode="",
        bytes=0,
        group=entry.group,
    )


def _scored(
    predictor: Predictor | EnsemblePredictor,
    run: Path,
    data: str,
    split: str,
    items: tuple[Item, ...],
    answers: Predictions,
    unknown: dict[str, int],
) -> EvaluatedImages:
    classes, groups = predictor.classes, splits.groups_of(items)
    labels_n = np.array([item.label for item in items], dtype=np.int64)
    logits_nK = np.log(np.maximum(answers.probabilities, np.finfo(np.float64).tiny)).astype(np.float32)
    decided_n = np.array([classes.index(name) for name in answers.decided], dtype=np.int64)
    test = test_scoring.test_score(logits_nK, labels_n, classes, groups)
    guess = guessing.against_majority(labels_n, decided_n, groups=groups)
    objective = objectives.make(_objective(run))
    seen = changes.listed(run / "splits.csv")
    unlike = None if answers.unlike is None else float((answers.unlike <= _rate(predictor)).mean())
    evaluation = Evaluation(
        run=str(run),
        data=data,
        split=split,
        backbone=predictor.description["backbone"],
        weights_sha256=predictor.description["weights_sha256"],
        test=test,
        objective=objectives.score(objective, answers.probabilities, labels_n, predictor.decision, groups=groups),
        ece=classification.ece(logits_nK, labels_n),
        majority=guess.share,
        learned=_has_learned(labels_n, (decided_n, logits_nK.argmax(axis=1)), groups),
        mistakes=test_scoring.mistakes_of(logits_nK, labels_n, [item.path for item in items], classes),
        f1={name: insights.f1(score.recall, score.precision) for name, score in test.per_class.items()},
        shift=_shift(run, test, unlike, is_ensemble=isinstance(predictor, EnsemblePredictor)),
        unlike=unlike,
        unknown_classes=unknown,
        missing_classes=tuple(name for name, score in test.per_class.items() if not score.n),
        seen=sum(seen.get(item.sha256) == "train" for item in items),
        unreadable=tuple(replace(file, path=unpacking.given(file.path)) for file in answers.unreadable),
    )
    return EvaluatedImages(
        evaluation=evaluation, items=items, probabilities_nK=answers.probabilities, decided_n=decided_n
    )


def _has_learned(labels_n: Rows, answers: Sequence[Rows], groups: Rows) -> bool:
    """Return True if one of these answers is better than always the largest class, beyond noise.

    A rule for another score gives up accuracy on purpose: having learned shows in it or in the most probable classes.
    """
    return any(guessing.against_majority(labels_n, each_n, groups=groups).learned for each_n in answers)


def _rate(predictor: Predictor | EnsemblePredictor) -> float:
    return RATE if predictor.index is None else max(RATE, predictor.index.smallest_rate)


def _objective(run: Path) -> ObjectiveSpec:
    """Return the objective of the run; the log-loss where only a model is there, as in an export."""
    if not (run / "recipe.yaml").is_file():
        return ObjectiveSpec()
    return recipe_file.read(run).objective or ObjectiveSpec()


def _shift(run: Path, here: TestScore, unlike: float | None, *, is_ensemble: bool) -> Shift | None:
    """Compare with the score of the same model on the locked test of the run; None where it has none."""
    if not (run / stored_results.FILE).is_file():
        return None
    result = stored_results.read(run)[0]
    test = result.test if not is_ensemble else result.ensemble.test if result.ensemble is not None else None
    if test is None:
        return None
    before = {name: score.n / test.n for name, score in test.per_class.items()}
    now = {name: score.n / here.n for name, score in here.per_class.items()}
    recalls = [(before.get(name, 0.0), score.recall) for name, score in here.per_class.items()]
    is_complete = all(recall is not None for share, recall in recalls if share)
    return Shift(
        test_accuracy=test.accuracy,
        test_n=test.n,
        accuracy=here.accuracy - test.accuracy,
        ci95=difference(here.accuracy, here.ci95, test.accuracy, test.ci95),
        labels=0.5 * sum(abs(now.get(name, 0.0) - before.get(name, 0.0)) for name in {*now, *before}),
        reweighted=sum(share * (recall or 0.0) for share, recall in recalls) if is_complete else None,
        unlike=unlike,
        unlike_expected=result.unlike.false_alarms if result.unlike is not None else None,
    )


def difference(
    first: float, first_ci: tuple[float, float], second: float, second_ci: tuple[float, float]
) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two independent proportions from their own intervals.

    Source: Newcombe 1998 (doi 10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I), method 10.
    """
    gap = first - second
    low = gap - math.hypot(first - first_ci[0], second_ci[1] - second)
    high = gap + math.hypot(first_ci[1] - first, second - second_ci[0])
    return max(-1.0, low), min(1.0, high)


def write_tables(scored: EvaluatedImages, folder: Path) -> None:
    """Write predictions.csv, confusion.csv and per_class.csv. Raises OSError."""
    evaluation = scored.evaluation
    classes = list(evaluation.test.per_class)
    insights.write_scores(folder, evaluation.test, scored.items, scored.probabilities_nK, scored.decided_n, classes)
