"""Names for types that many modules spell in their signatures: arrays, and the functions that receive progress.

An array is named by what it holds and how wide it is; shapes stand in the suffixes of variables (`logits_nK`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

AnyArray = NDArray[Any]
Floats = NDArray[np.floating]  # of either precision
Float32s = NDArray[np.float32]
Float64s = NDArray[np.float64]
Ints = NDArray[np.integer]  # of any width: labels
Rows = NDArray[np.int64]  # positions of items in an array
Bools = NDArray[np.bool_]
Pixels = NDArray[np.uint8]  # decoded pixels, 0..255
Folds = Sequence[tuple[Ints, Ints]]  # (training rows, validation rows) of each fold

CountProgress = Callable[[int, int], None]  # (done, total); total is 0 where it is not known
Note = Callable[[str], None]  # takes a line that the user should read
NamedProgress = Callable[[str, int, int], None]  # (what, done, total), as above
