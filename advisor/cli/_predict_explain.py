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

LONGEST = 80  # letters of a file's name


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
    """Write NUMBER-NAME-CLASS.png for each row as it passes. Raises InputError where the model has no gradient."""
    from advisor.data import image_inputs
    from advisor.errors import InputError
    from advisor.insight import attention, overlay
    from advisor.runtime.atomic_file import write_atomically

    for number, row in enumerate(rows, start=1):
        squares = attention.seen(predictor, image_inputs.squares([row.image], predictor.rule))
        label = predictor.classes.index(row.best[0][0])
        maps = attention.maps(predictor, squares, [label])
        if maps is None:
            raise InputError(
                f"--explain: a {predictor.description['head']} head has no gradient to show.",
                hint="Train with --strategy ridge, logistic or a fine-tuning strategy.",
            )
        name = f"{number:05d}-{_plain(Path(row.path).stem)}-{_plain(row.best[0][0])}.png"
        write_atomically(folder / name, overlay.picture(squares[0], maps[0], form="PNG"))
        yield row


def _plain(name: str) -> str:
    """Return a name of letters, digits, dots and hyphens alone."""
    return "".join(c if c.isalnum() or c in ".-_" else "_" for c in name)[:LONGEST] or "image"
