"""Rules of the errors: one tree, drawn in the docstring; they cross the pipe between processes; their texts are printable."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from advisor import errors
from advisor.safe_text import printable

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


def test_details_survive_the_pipe() -> None:
    """How long a training run was measured to take, what failed and why cross it as well."""
    assert pickle.loads(pickle.dumps(errors.TooSlowError("too slow", needs_s=12.5))).needs_s == 12.5
    network = pickle.loads(pickle.dumps(errors.BackboneError("it broke.", backbone="mine", reason="no stage")))
    assert (network.backbone, network.reason, str(network)) == ("mine", "no stage", "it broke.")
    strategy = pickle.loads(pickle.dumps(errors.StrategyError("it broke.", strategy="mine", reason="no plan")))
    assert (strategy.strategy, strategy.reason, strategy.exit_code) == ("mine", "no plan", 4)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cat\x1b[31m", "cat\\x1b[31m"),
        ("a\nb\r", "a\\nb\\r"),
        ("left\u202eright", "left\\u202eright"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("caf\udce9", "caf\\xe9"),
        ("lone \ud800", "lone \\ud800"),
        ("Äpfel 猫 ok", "Äpfel 猫 ok"),
    ],
)
def test_error_texts_are_printable(name: str, shown: str) -> None:
    """Control and bidirectional characters, line breaks and bytes that are not UTF-8 are escaped; letters are not."""
    assert printable(name) == shown
    error = errors.InputError(f"{name}: no such file.", hint=f"Check {name}.")
    assert str(error) == f"{shown}: no such file. Check {shown}."
    assert str(error).isprintable()


def test_one_line_is_short_and_one_line() -> None:
    """Somebody else's message of many lines becomes one, without a final period, within the limit."""
    assert errors.one_line(ValueError("first\n  second.")) == "first second"
    assert errors.one_line(ValueError()) == "ValueError"
    assert len(errors.one_line(ValueError("x" * 999))) == 240
