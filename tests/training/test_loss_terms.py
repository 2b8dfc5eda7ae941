"""advisor.training.loss_terms: functions are found by name, and what is not found says so."""

from __future__ import annotations

import math

import pytest

from advisor.errors import PluginError
from advisor.hooks import Term
from advisor.training import loss_terms


def test_a_function_is_found_by_name() -> None:
    """`module:function` is imported."""
    assert loss_terms.load(Term(function="math:hypot")) is math.hypot


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("math.hypot", "module:function"),
        ("math:", "module:function"),
        ("no_such_module_here:f", "cannot be imported"),
        ("math:no_such", "cannot be imported"),
        ("math:pi", "is a float"),
    ],
)
def test_what_is_no_function_is_told(name: str, words: str) -> None:
    """A malformed, missing or uncallable name is one line that repeats it."""
    with pytest.raises(PluginError, match=words) as caught:
        loss_terms.load(Term(function=name))
    assert name in str(caught.value)
