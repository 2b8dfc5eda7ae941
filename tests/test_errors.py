"""Rules of the errors: one tree, drawn in the docstring; they survive the pipe between processes."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from advisor import errors

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == errors.__name__]


def test_the_tree_names_every_exception() -> None:
    """The docstring of the module draws every class, and none that does not exist."""
    drawn = re.findall(r"^[|+\- ]*([A-Z]\w+)  +", errors.__doc__ or "", flags=re.MULTILINE)
    assert sorted(drawn) == sorted(c.__name__ for c in CLASSES)


@pytest.mark.parametrize("kind", [c for c in CLASSES if issubclass(c, errors.AdviseError)], ids=lambda c: c.__name__)
def test_errors_survive_the_pipe(kind: type[errors.AdviseError]) -> None:
    """Type, text, hint and exit code are the same on the other side of a pipe."""
    error = kind("what happened.", hint="What to do.")
    other = pickle.loads(pickle.dumps(error))
    assert (type(other), str(other), other.hint) == (kind, "what happened. What to do.", "What to do.")
    assert other.exit_code == kind.exit_code


def test_a_slow_trial_keeps_its_seconds() -> None:
    """How long a training run was measured to take crosses the pipe as well."""
    assert pickle.loads(pickle.dumps(errors.TooSlowError("too slow", needs_s=12.5))).needs_s == 12.5
