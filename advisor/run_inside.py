"""A folder that a user named for a run -> a hint at the run that lies in it, as `tl-advise demo` leaves one.

Does NOT cover: reading runs. No torch, and no more than one level of folders is listed.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

PARENT = "tl-advise-runs"


def hint(folder: str | os.PathLike[str], name: str, otherwise: str) -> str:
    """Return a hint at the newest folder inside of `folder`, or of its tl-advise-runs, that holds a file `name`.

    Return `otherwise` where there is none.
    """
    root = Path(folder)
    try:
        runs = [file for pattern in (f"*/{name}", f"{PARENT}/*/{name}") for file in root.glob(pattern)]
        newest = max(runs, key=lambda file: (file.stat().st_mtime, file), default=None)
    except OSError:
        newest = None
    if newest is None:
        return otherwise if root.exists() else "Check the path: there is no such file or folder."
    run = str(newest)[: -len(name) - 1]
    return f"Did you mean {shlex.quote(run)}" + (f", the newest of {len(runs)} runs in it?" if len(runs) > 1 else "?")
