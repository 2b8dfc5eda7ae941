"""The errors that a person meets: each says what happened, where, and what to do next, and carries its exit code.

AdviseError                 exit 4: the run failed though the input was fine
+-- InputError              exit 2: the input or the call is at fault
|   +-- DatasetError        a folder or manifest that cannot be learned from
|   +-- RecipeError         a recipe that cannot be read, or does not fit here
|   +-- PluginError         an unknown, broken or misdeclared backbone or strategy
|   +-- WeightsError        pretrained weights that are missing, damaged or out of reach
|   +-- OutputError         a place that cannot be written
+-- CheckError              exit 3: a check did not hold (rerun --verify, export parity, plugins check)
+-- Interrupted             exit 130: stopped by a person; the best so far is kept
+-- TrialError              one trial failed; the search records it and goes on
"""

from __future__ import annotations


class AdviseError(Exception):
    """A failure told in one line: `what`, then `hint`, the next step."""

    exit_code = 4

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what} {self.hint}".strip() if self.hint else self.what

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross the pipe between worker and coordinator, and keyword-only arguments do not pickle by default.
        return (_rebuild, (type(self), self.what, self.hint))


def _rebuild(kind: type[AdviseError], what: str, hint: str) -> AdviseError:
    return kind(what, hint=hint)


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
    """Pretrained weights that are missing, damaged or out of reach."""


class OutputError(InputError):
    """A place that cannot be written."""


class CheckError(AdviseError):
    """A check that was asked for did not hold."""

    exit_code = 3


class Interrupted(AdviseError):
    """Stopped by a person; the best so far is kept and the run can be resumed."""

    exit_code = 130


class TrialError(AdviseError):
    """One trial failed; the search records why and goes on."""


class TooSlow(TrialError):
    """A trial cannot end in the time that is left for it; `needs_s` is what one training was seen to need."""

    def __init__(self, what: str, *, hint: str = "", needs_s: float = 0.0) -> None:
        super().__init__(what, hint=hint)
        self.needs_s = needs_s
