"""What the predictions of a finished search say beyond the score: suspicious labels, guessing, and plain tables.

In: the winner's out-of-fold predictions and the scores of the test set. Out: the result with `majority`, `learned` and
`suspects`, and CSV files in the staging folder. The test set is only described here: nothing is chosen by it, and labels
of test images that look wrong stand in a file of their own. No model is run.
Does NOT cover: the methods (`insight`). Names in the files that a spreadsheet would compute are neutralised.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from advisor.aliases import Float64s, Ints
from advisor.data import splits
from advisor.data.subsample import Subsample
from advisor.insight import guessing, suspects
from advisor.metrics import classification, reliability
from advisor.metrics.decision_rule import MOST_PROBABLE, decide
from advisor.records import (
    CalibrationBin,
    DuplicateGroup,
    Item,
    Result,
    Suspect,
    SuspectLabels,
    TestScore,
    Trial,
)
from advisor.records.messages import Scored
from advisor.records.objective import DecisionRule
from advisor.runtime import stored_arrays
from advisor.runtime.run_dir import RunDir
from advisor.safe_text import spreadsheet_cell

SHOWN = 12  # suspicious labels in the result and the report


def add(
    result: Result,
    run_dir: RunDir,
    used: Subsample,
    winner: Trial,
    trials: Sequence[Trial],
    scored: Scored | None,
    staged: Path,
    rule: DecisionRule = MOST_PROBABLE,
    duplicates: Sequence[DuplicateGroup] = (),
) -> Result:
    """Return the result with what its predictions say, and write the tables into `staged`; `rule` decides the classes."""
    classes = result.dataset.classes
    saved = stored_arrays.read(run_dir.path / winner.predictions)
    rows, labels = saved["rows"], saved["labels"]
    probabilities = classification.probabilities(saved["logits"], temperature=winner.temperature)
    items = [used.pool[int(row)] for row in rows]
    suspected = write_suspects(staged / "suspects.csv", items, probabilities, labels, classes, duplicates)
    predicted, groups = decide(probabilities, rule), splits.groups_of(items)
    if scored is not None and result.test is not None:
        unreadable = {file.path for file in scored.unreadable}
        items = [item for item in used.test if item.path not in unreadable]
        saved = stored_arrays.read(run_dir.trials / "test.npz")
        probabilities, labels = classification.probabilities(saved["logits"][0]), saved["labels"]
        predicted, groups = decide(probabilities, rule), saved["groups"]
        write_suspects(staged / "suspects-test.csv", items, probabilities, labels, classes)
        write_scores(staged, result.test, items, probabilities, predicted, classes)
    _write_trials(staged / "trials.csv", trials)
    # The largest class of the very images is the harder rival.
    guess = guessing.against_majority(labels, predicted, groups=groups)
    warnings = result.warnings
    # A rule for another score gives up accuracy on purpose: having learned shows in either of the two answers.
    likeliest = probabilities.argmax(axis=1)
    learned = guess.learned or guessing.against_majority(labels, likeliest, groups=groups).learned
    if not learned:
        warnings = (
            *warnings,
            f"the scored images do not show that the model is better than always answering {classes[guess.label]}",
        )
    return replace(result, majority=guess.share, learned=learned, suspects=suspected, warnings=warnings)


def with_reliability(result: Result, path: Path) -> Result:
    """Add the reliability of the first model's probabilities, from the file of test logits at `path`, if there is a test."""
    if result.test is None:
        return result
    saved = stored_arrays.read(path)
    measured = reliability.measure(classification.probabilities(saved["logits"][0]), saved["labels"], saved["groups"])
    bins = (CalibrationBin(n=b.n, confidence=b.confidence, accuracy=b.accuracy, ci95=b.ci95) for b in measured.bins)
    calibration = replace(
        result.calibration,
        overconfidence=measured.overconfidence,
        ci95=measured.ci95,
        ece_by_chance=measured.ece_by_chance,
        bins=tuple(bins),
    )
    return replace(result, calibration=calibration)


def write_suspects(
    path: Path,
    items: Sequence[Item],
    probabilities_NK: Float64s,
    labels_N: Ints,
    classes: Sequence[str],
    duplicates: Sequence[DuplicateGroup] = (),
) -> SuspectLabels:
    """Write all items, the most suspicious label first, and return the record of it.

    Of duplicates with different labels one is wrong whatever the models say: the less believed ones stand before all others.
    """
    result = suspects.find(probabilities_NK, labels_N)
    conflicts = _conflicts(items, result.score, duplicates)
    order = sorted((int(i) for i in result.order), key=lambda i: i not in conflicts)  # stable
    rows = [
        Suspect(
            path=items[i].path,
            label=classes[int(labels_N[i])],
            suggested=classes[int(labels_N[conflicts[i]])] if i in conflicts else classes[int(result.suggested[i])],
            score=float(result.score[i]),
            duplicate=items[conflicts[i]].path if i in conflicts else "",
        )
        for i in order
    ]
    write_rows(path, rows)
    flagged = {int(i) for i in result.order[: result.worth]} | set(conflicts)
    precision = min(1.0, (result.precision * result.worth + len(conflicts)) / max(1, result.worth + len(conflicts)))
    return SuspectLabels(
        examined=len(rows),
        worth=len(flagged),
        precision=precision if conflicts else result.precision,
        first=tuple(rows[: min(SHOWN, len(flagged))]),
        file=path.name,
        conflicting=len(conflicts),
    )


def write_rows(path: Path, rows: Sequence[Suspect]) -> None:
    """Write suspects as a table that `--relabel` takes once the labels are corrected in it."""
    header = ("path", "label", "suggested", "score", "duplicate", "neighbours")
    write_table(
        path, header, ((r.path, r.label, r.suggested, r.score, r.duplicate, "; ".join(r.neighbours)) for r in rows)
    )


def add_neighbours(folder: Path, result: Result) -> None:
    """Add the neighbours of the first suspects to the table that lists all of them."""
    if result.suspects is None:
        return
    path, first = folder / result.suspects.file, result.suspects.first
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
        rows = list(csv.reader(stream))
    for row, one in zip(rows[1:], first, strict=False):
        row[-1] = _cell("; ".join(one.neighbours))
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)


def _conflicts(items: Sequence[Item], score_N: Float64s, duplicates: Sequence[DuplicateGroup]) -> dict[int, int]:
    """Return, of duplicates with different labels, the items that are believed less than one with another label."""
    at = {item.path: row for row, item in enumerate(items)}
    conflicts: dict[int, int] = {}
    for group in duplicates:
        rows = [at[path] for path in group.paths if path in at] if group.labels_differ else []
        if len({items[row].label for row in rows}) > 1:
            sure = max(rows, key=lambda row: (score_N[row], -row))
            conflicts |= {row: sure for row in rows if items[row].label != items[sure].label}
    return conflicts


def write_scores(
    folder: Path,
    test: TestScore,
    items: Sequence[Item],
    probabilities_NK: Float64s,
    predicted_N: Ints,
    classes: Sequence[str],
) -> None:
    """Write predictions.csv, confusion.csv and per_class.csv of scored images into `folder`."""
    write_table(
        folder / "predictions.csv",
        ("path", "label", "predicted", "probability"),
        (
            (item.path, classes[item.label], classes[int(k)], float(row[k]))
            for item, k, row in zip(items, predicted_N, probabilities_NK, strict=True)
        ),
    )
    write_table(
        folder / "confusion.csv",
        ("label", *classes),
        ((name, *counts) for name, counts in zip(classes, test.confusion, strict=True)),
    )
    write_table(
        folder / "per_class.csv",
        ("class", "recall", "precision", "f1", "n"),
        ((name, s.recall, s.precision, f1(s.recall, s.precision), s.n) for name, s in test.per_class.items()),
    )


def f1(recall: float | None, precision: float | None) -> float | None:
    """Return the harmonic mean of recall and precision; None without images, 0 where none was recognised."""
    if recall is None:
        return None
    total = recall + (precision or 0.0)
    return 2 * recall * (precision or 0.0) / total if total else 0.0


def _write_trials(path: Path, trials: Sequence[Trial]) -> None:
    header = ("trial", "state", "backbone", "strategy", "accuracy", "log_loss", "epochs", "seconds")
    write_table(
        path,
        header,
        (
            (
                t.number,
                t.state,
                t.candidate.backbone,
                t.candidate.strategy,
                t.accuracy if t.scores else None,
                t.log_loss if t.scores else None,
                t.epochs,
                t.seconds,
            )
            for t in trials
        ),
    )


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as CSV; names that a spreadsheet would compute are neutralised."""
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        for row in (header, *rows):
            table.writerow([_cell(value) for value in row])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else spreadsheet_cell(str(value))
