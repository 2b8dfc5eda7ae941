"""Arrays that a run keeps in `.npz` files, such as predictions: read whole, or one line that says which file is damaged.

NumPy raises EOFError for an empty file, which click takes for the end of standard input, and BadZipFile for half of one.
Does NOT cover: writing (`atomic_file`), arrays of the cache (`cache`).
"""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.errors import InputError, one_line

# What NumPy and zipfile raise for wrong bytes: a header that is no Python literal, another version or compression of ZIP, a
# bit that says the file is encrypted, a place before the file's beginning.
DAMAGED = (
    *(OSError, ValueError, EOFError, OverflowError),
    *(RuntimeError, tokenize.TokenError, zipfile.BadZipFile, zlib.error),  # RuntimeError: NotImplementedError too
)


def read(path: str | Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file by name. Raises InputError where it is damaged or missing."""
    try:
        saved = np.load(path, allow_pickle=False)
        if not isinstance(saved, np.lib.npyio.NpzFile):
            raise ValueError("one array without a name")
        with saved:
            return {name: saved[name] for name in saved.files}
    except FileNotFoundError:
        raise InputError(f"{path} is missing.", hint="Copy the whole run again, or start a new one.") from None
    except DAMAGED as error:
        raise InputError(
            f"{path} is damaged ({one_line(error)}).", hint="Copy the whole run again, or start a new one."
        ) from error
