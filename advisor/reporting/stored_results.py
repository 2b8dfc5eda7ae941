"""A run directory -> its `Result` as it was written. Nothing is computed, no torch.

Does NOT cover: writing it (`selection`), showing it (`report`, the command line).
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from advisor import errors
from advisor.errors import InputError
from advisor.records import Result
from advisor.runtime import json_records

FILE = "result.json"
ADAPTATION = "adaptation.json"  # what an adapted run holds in its place


def read(run: Path) -> tuple[Result, Path]:
    """Return the result of a run, and its directory. `run` is the directory or a file in it.

    Raises InputError where there is no result, or it cannot be read.
    """
    import msgspec

    from advisor.runtime import json_records

    folder = run.parent if os.path.isfile(run) else run
    path = folder / FILE
    if not os.path.isfile(path):
        raise InputError(f"{run}: there is no {FILE}.", hint=_hint(run, folder))
    try:
        # Names of files need not be UTF-8: they travel as surrogate escapes, which msgspec's own reader refuses.
        plain = json_records.plain(path.read_text(encoding="utf-8", errors="surrogateescape"))
        return json_records.convert(plain, Result), folder
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}).", hint="Was it edited, or written by another version?"
        ) from error


def _is_adapted(folder: Path) -> bool:
    """Whether a run directory holds an adaptation to a target, finished or not."""
    try:
        call = json_records.plain((folder / "run.json").read_text(encoding="utf-8", errors="surrogateescape"))
    except (OSError, ValueError):
        return False
    return isinstance(call, dict) and call.get("target") is not None


def _hint(run: Path, folder: Path) -> str:
    if _is_adapted(folder):
        if not (folder / ADAPTATION).is_file():
            return "This is an adapted run (--target) that did not end: start it again with another --out."
        quoted = shlex.quote(str(folder))
        return f"This is an adapted run (--target): see its {ADAPTATION}, or use it with `tl-advise predict {quoted} IMAGES`."
    if os.path.isfile(folder / "run.json"):
        return f"The run has no result yet: `tl-advise resume {shlex.quote(str(folder))}` continues it."
    return errors.nearest_run(run, FILE, "Name a run directory, such as tl-advise-runs/NAME-TIME.")
