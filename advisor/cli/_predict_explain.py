"""`predict --explain DIR`: one PNG per image with where the model looks for the class that it gives.

Rows of predictions -> the same rows, and files. Does NOT cover: the maps (`insight.attention`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advisor.cli._predict_output import Row

LONGEST_BYTES = 80  # of an image's name and of a class: with number and temporary suffix, a file's name has at most 255


def check(predictor: Any, folder: str) -> None:
    """Create the folder. Raises InputError for an ensemble, OutputError if the folder cannot be used."""
    from advisor.errors import InputError, OutputError

    if not hasattr(predictor, "classifier"):
        raise InputError("--explain shows a single model.", hint="Remove --ensemble.")
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be created ({error.strerror}).", hint="Choose another --explain."
        ) from error
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{folder}: cannot be written.", hint="Choose another --explain.")


def draw(predictor: Any, rows: Iterator[Row], folder: Path) -> Iterator[Row]:
    """Write NUMBER-NAME-CLASS.png for each row as it passes; a note at the end counts what could not be written.

    Raises InputError where the model has no gradient.
    """
    from advisor.cli import _console
    from advisor.errors import OutputError
    from advisor.runtime.atomic_file import write_atomically

    failures: list[str] = []
    for number, row in enumerate(rows, start=1):
        picture = _picture(predictor, row)
        name = f"{number:05d}-{_plain(Path(row.path).stem)}-{_plain(row.best[0][0])}.png"
        try:
            write_atomically(folder / name, picture)
        except OutputError as error:
            failures.append(str(error))
        yield row
    if failures:
        pictures = _console.counted(len(failures), "picture")
        _console.note(f"--explain: {pictures} could not be written, the first because: {failures[0]}")


def _picture(predictor: Any, row: Row) -> bytes:
    """Return a PNG of what the model sees, and where it looks for the class that it gives. Raises InputError."""
    from advisor.data import image_inputs
    from advisor.errors import InputError
    from advisor.insight import attention, overlay

    squares = attention.seen(predictor, image_inputs.squares([row.image], predictor.rule))
    maps = attention.maps(predictor, squares, [predictor.classes.index(row.best[0][0])])
    if maps is None:
        raise InputError(
            f"--explain: a {predictor.description['head']} head has no gradient to show.",
            hint="Train with --strategy ridge, logistic or a fine-tuning strategy.",
        )
    return overlay.picture(squares[0], maps[0], form="PNG")


def _plain(name: str) -> str:
    """Return a name of letters, digits, dots and hyphens alone, of at most LONGEST_BYTES and of whole characters."""
    plain = "".join(c if c.isalnum() or c in ".-_" else "_" for c in name)
    return plain.encode()[:LONGEST_BYTES].decode(errors="ignore") or "image"
