"""A matrix of costs as CSV -> numbers in the order of the classes: what a wrong answer costs.

The first row names the classes that may be answered, the first column the true classes, each cell is the cost of that
answer for that class: a number of at least 0; an empty cell on the diagonal is 0. The order of rows and columns is free.
Does NOT cover: using the costs (`metrics.objectives`).
"""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Sequence
from pathlib import Path

from advisor.errors import InputError
from advisor.records.objective import OBJECTIVES, ObjectiveSpec

_FORMAT = "The first row names the answers, the first column the true classes, each cell is a cost of at least 0."


def objective(text: str, classes: Sequence[str]) -> ObjectiveSpec:
    """Return the objective that the command line names: a name, or cost:FILE with the costs of these classes.

    Raises InputError where there is no such objective, or the file cannot be used.
    """
    name, _, path = check_option(text).partition(":")
    if name == "cost":
        return ObjectiveSpec(name="cost", costs=read(path, classes))
    return ObjectiveSpec(name=next(each for each in OBJECTIVES if each == name))


def check_option(text: str) -> str:
    """Return the name of an objective as it is, if there is one; a cost file must exist.

    Raises InputError, before any data are read.
    """
    name, _, path = text.partition(":")
    if name not in OBJECTIVES or (path and name != "cost"):
        near = difflib.get_close_matches(name.replace("-", "_").lower(), OBJECTIVES, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Choose one of {', '.join(OBJECTIVES[:-1])}, cost:FILE."
        raise InputError(f"--objective {text}: there is no such objective.", hint=hint)
    if name == "cost":
        if not path:
            raise InputError("--objective cost: expected a file of costs.", hint=f"Use cost:FILE. {_FORMAT}")
        _rows(Path(path))
    return text


def read(path: str | Path, classes: Sequence[str]) -> tuple[tuple[float, ...], ...]:
    """Return costs[i][j], the cost of answering classes[j] for an image of classes[i].

    Raises InputError where the file cannot be read, names an unknown class, lacks a pair, or holds no valid cost.
    """
    rows = _rows(Path(path))
    columns = [name.strip() for name in rows[0][1:]]
    _check_names(path, columns, classes, "answer")
    _check_names(path, [row[0].strip() for row in rows[1:]], classes, "true class")
    cells = {
        (row[0].strip(), decision): cell
        for row in rows[1:]
        for decision, cell in zip(columns, [*row[1:], *[""] * len(columns)], strict=False)
    }
    costs = tuple(tuple(_cost(path, true, decision, cells[true, decision]) for decision in classes) for true in classes)
    if all(cost == 0 for row in costs for cost in row):
        raise InputError(f"{path}: every cost is 0, so every answer is as good as any other.", hint=_FORMAT)
    for true, row in zip(classes, costs, strict=True):
        _check_right_is_cheapest(path, true, classes, row)
    return costs


def _check_right_is_cheapest(path: str | Path, true: str, classes: Sequence[str], row: Sequence[float]) -> None:
    """Refuse costs by which a wrong answer is better than the right one: most likely rows and columns changed places."""
    right, cheapest = row[classes.index(true)], min(row)
    if right > cheapest:
        other = classes[row.index(cheapest)]
        raise InputError(
            f'{path}: for "{true}" the right answer costs {right:g}, and answering "{other}" {cheapest:g}.',
            hint="No answer may cost less than the right one. The rows are the true classes, the columns the answers.",
        )


def _rows(path: Path) -> list[list[str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"--objective cost:{path}: cannot be read ({error.strerror}).", hint=_FORMAT) from None
    except UnicodeDecodeError:
        raise InputError(f"--objective cost:{path}: not a text file in UTF-8.", hint=_FORMAT) from None
    separator = "\t" if "\t" in text.partition("\n")[0] else ","
    rows = [row for row in csv.reader(text.splitlines(), delimiter=separator) if any(cell.strip() for cell in row)]
    if len(rows) < 2:
        raise InputError(f"{path}: expected a table of costs, got {len(rows)} rows.", hint=_FORMAT)
    return rows


def _check_names(path: str | Path, names: Sequence[str], classes: Sequence[str], kind: str) -> None:
    unknown = [name for name in names if name not in classes]
    if unknown:
        raise InputError(
            f'{path}: "{unknown[0]}" is not a class of this data set ({kind}).',
            hint=f"The classes are {', '.join(classes[:8])}{' …' if len(classes) > 8 else ''}.",
        )
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise InputError(f'{path}: "{repeated[0]}" appears twice ({kind}).', hint="Keep one of them.")
    missing = [name for name in classes if name not in names]
    if missing:
        where = "column" if kind == "answer" else "row"
        raise InputError(f'{path}: no {where} for the class "{missing[0]}".', hint=_FORMAT)


def _cost(path: str | Path, true: str, decision: str, cell: str) -> float:
    if not cell.strip() and true == decision:
        return 0.0
    try:
        cost = float(cell)
    except ValueError:
        cost = math.nan
    if not (math.isfinite(cost) and cost >= 0):
        shown = f'"{cell.strip()}"' if cell.strip() else "nothing"
        raise InputError(
            f'{path}: the cost of answering "{decision}" for "{true}" is {shown}, expected a number of at least 0.',
            hint=_FORMAT,
        )
    return cost
