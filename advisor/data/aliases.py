"""Type aliases that the modules of this package share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]
OnProgress = Callable[[int, int], None]  # (done, total), called from the calling thread
