"""Every exception of the project, in one tree: each says what happened, where, and what to do next, and has its exit code.

AdviseError                 exit 4: the run failed though the input was fine
+-- InputError              exit 2: the input or the call is at fault
|   +-- DatasetError        a folder or manifest that cannot be learned from
|   +-- RecipeError         a recipe that cannot be read, or does not fit here
|   +-- PluginError         an unknown, broken or misdeclared backbone or strategy
|   +-- WeightsError        pretrained weights that are missing, damaged or unavailable
|   +-- OutputError         a file or folder that cannot be written
+-- CheckError              exit 3: a check failed (rerun --verify, export parity, plugins check)
|   +-- QuantisationError   INT8 loses more accuracy than is tolerated; `measured` says what was found
+-- Interrupted             exit 130: stopped by the user; the best model so far is on disk
+-- TrialError              one trial failed; the search records it and goes on
|   +-- DivergedError       the training loss is no longer finite
|   +-- OutOfMemoryError    the device's memory does not hold a step of this batch size
|   +-- TooSlowError        the trial cannot end in the time that is left for it
|   +-- StrategyError       the code of a strategy raised, or returned what no training can use
|   +-- RefitError          a winner cannot be trained on all images; the next best is judged
+-- BackboneError           the code of a network raised, or returned what no head can use
+-- WorkerLostError         a worker process ended in the middle of a job
+-- OutOfTimeError          a job did not end by its deadline; its worker was killed
+-- TransientReadError      memory, descriptors or a disk kept a file from being read; nothing is wrong with the file
+-- CacheFullError          the cache cannot take an entry; the caller goes on without it
+-- DatabaseError           the shared database cannot be reached, or refused

Some are caught where they arise and never reach a user, so they have no exit code:
BrokenPluginError           why the registry disables a plugin
RuleError                   a rule of the conformance kit does not hold
TransferError               a download failed; it becomes a WeightsError
RequestError                a request to the server is refused; it becomes an HTTP status
ChangedFileError            an image file changed between two readings; it counts as unreadable
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from advisor.safe_text import printable

RUNS_FOLDER = "tl-advise-runs"


def one_line(error: BaseException, limit: int = 240) -> str:
    """Return an error's message as one printable line without a final period, shortened to `limit` characters."""
    text = printable(" ".join(str(error).split())).rstrip(".") or type(error).__name__
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


class AdviseError(Exception):
    """A failure in one line: `what` happened and where, then `hint`, the next step; `details` name further attributes."""

    exit_code = 4
    details: tuple[str, ...] = ()

    def __init__(self, what: str, *, hint: str = "") -> None:
        self.what = printable(what)
        self.hint = printable(hint)
        super().__init__(self.what)

    def __str__(self) -> str:
        return f"{self.what} {self.hint}".strip() if self.hint else self.what

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross the pipe between worker and coordinator, and keyword-only arguments do not pickle by default.
        return (_rebuild, (type(self), self.what, self.hint, {name: getattr(self, name) for name in self.details}))


def _rebuild(kind: type[AdviseError], what: str, hint: str, details: dict[str, Any]) -> AdviseError:
    return kind(what, hint=hint, **details)


class InputError(AdviseError):
    """The input or the call is at fault."""

    exit_code = 2


class DatasetError(InputError):
    """A folder or manifest that cannot be learned from."""


class RecipeError(InputError):
    """A recipe that cannot be read, or does not fit here."""


class PluginError(InputError):
    """An unknown, broken or misdeclared backbone or strategy."""


class WeightsError(InputError):
    """Pretrained weights that are missing, damaged or unavailable."""


class OutputError(InputError):
    """A file or folder that cannot be written."""


class CheckError(AdviseError):
    """A check that the user requested failed."""

    exit_code = 3


class QuantisationError(CheckError):
    """An INT8 graph loses more accuracy than is tolerated; `measured` is the export that was not kept, without a path."""

    details = ("measured",)

    def __init__(self, what: str, *, hint: str = "", measured: Any = None) -> None:
        super().__init__(what, hint=hint)
        self.measured = measured


class Interrupted(AdviseError):
    """Stopped by the user; the best model so far is on disk and the run can be resumed."""

    exit_code = 130


class TrialError(AdviseError):
    """One trial failed; the search records why and goes on."""


class DivergedError(TrialError):
    """The training loss is no longer finite."""


class OutOfMemoryError(TrialError):
    """The device's memory does not hold a training step of this batch size."""


class TooSlowError(TrialError):
    """A trial cannot end in the time that is left for it; `needs_s` is how long one training run was measured to take."""

    details = ("needs_s",)

    def __init__(self, what: str, *, hint: str = "", needs_s: float = 0.0) -> None:
        super().__init__(what, hint=hint)
        self.needs_s = needs_s


class StrategyError(TrialError):
    """The code of a strategy raised, or returned what no training can use; `reason` names its plugin and the failure."""

    details = ("strategy", "reason")

    def __init__(self, what: str, *, hint: str = "", strategy: str = "", reason: str = "") -> None:
        super().__init__(what, hint=hint)
        self.strategy = strategy
        self.reason = printable(reason or what)


class RefitError(TrialError):
    """A winner cannot be trained on all images and the search left no model of it.

    `trial` is its number, `reason` why, `strategy` the strategy if its code raised, else "".
    """

    details = ("trial", "reason", "strategy")

    def __init__(self, what: str, *, hint: str = "", trial: int = 0, reason: str = "", strategy: str = "") -> None:
        super().__init__(what, hint=hint)
        self.trial = trial
        self.reason = printable(reason or what)
        self.strategy = strategy


class BackboneError(AdviseError):
    """The code of a network raised, or returned what no head can use; `reason` names its plugin and the failure."""

    details = ("backbone", "reason")

    def __init__(self, what: str, *, hint: str = "", backbone: str = "", reason: str = "") -> None:
        super().__init__(what, hint=hint)
        self.backbone = backbone
        self.reason = printable(reason or what)


class WorkerLostError(AdviseError):
    """The worker process ended in the middle of a job."""


class OutOfTimeError(AdviseError):
    """A job did not end by its deadline; its worker was killed."""


class TransientReadError(AdviseError):
    """A passing cause (memory, descriptors, an I/O error, a time-out) kept a file from being read."""


class CacheFullError(AdviseError):
    """The cache cannot take an entry: no space, no permission, or larger than its limit. Go on without it."""


class DatabaseError(AdviseError):
    """The shared database cannot be reached, or refused."""


class BrokenPluginError(Exception):
    """Why a plugin is disabled, in words that its author can act on."""


class RuleError(Exception):
    """A rule of the conformance kit does not hold; the message names what was measured and what was expected."""


class TransferError(Exception):
    """The network or the server failed during a download; the message says how, in a few words."""


class RequestError(Exception):
    """A request that is refused: an HTTP status of 400 or above, and one sentence that says why and what to do."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class ChangedFileError(Exception):
    """An image file is no longer the one that was hashed, or is gone."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return True where memory is short. torch has no type for that on every device: the words of its errors decide."""
    text = str(error).lower()
    short = "out of memory" in text or "allocate memory" in text
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and short)


def nearest_run(folder: str | os.PathLike[str], name: str, otherwise: str) -> str:
    """Return a hint at the newest folder inside of `folder`, or of its tl-advise-runs, that holds a file `name`.

    Return `otherwise` where there is none. No more than one level of folders is listed.
    """
    root = Path(folder)
    try:
        runs = [file for pattern in (f"*/{name}", f"{RUNS_FOLDER}/*/{name}") for file in root.glob(pattern)]
        newest = max(runs, key=lambda file: (file.stat().st_mtime, file), default=None)
    except OSError:
        newest = None
    if newest is None:
        return otherwise if os.path.exists(root) else "Check the path: there is no such file or folder."
    run = str(newest)[: -len(name) - 1]
    return f"Did you mean {shlex.quote(run)}" + (f", the newest of {len(runs)} runs in it?" if len(runs) > 1 else "?")
