"""advisor.training.loss_terms: functions are found by name, and what is not found says so."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import small_plans
import torch

from advisor.errors import OutOfMemoryError, PluginError, StrategyError
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


SOURCE = """
def raises(*anything, **numbers):
    raise KeyError("boom")

def each(inputs, **numbers):
    return inputs.features.sum(dim=1)

def nothing(*anything, **numbers):
    return None

def renames(start, tuned):
    return {"body": value for value in tuned.values()}

def halves(start, tuned):
    return {name: value.mul_(0.5) for name, value in tuned.items()}

def diverges(start, tuned):
    return {name: value / 0.0 for name, value in tuned.items()}

def stays(modules, *, seed):
    from torch import nn
    for module in modules.values():
        module.register_parameter("stranger", nn.Parameter(__import__("torch").zeros(3)))
    return lambda: None

def short(inputs):
    raise MemoryError

def meddles(inputs):
    import torch
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    print("a step")
    return 0.0

def with_companion(inputs):
    return 0.0

with_companion.companion = raises
"""


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A plugin's module of terms that fail."""
    (tmp_path / "stranger_terms.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "stranger_broken.py").write_text("raise ValueError('half written')", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("stranger_terms", None)


def trained(**functions: str) -> None:
    """Train a small network by a plan with these functions, and finish it."""
    terms = {name: Term(function=f"stranger_terms:{function}") for name, function in functions.items()}
    changes: dict[str, Any] = {"terms": (terms.pop("term"),)} if "term" in terms else {}
    done = small_plans.loop(replace(small_plans.FULL, **changes, **terms))
    list(done.run(2))
    done.finish()


@pytest.mark.usefixtures("stranger")
@pytest.mark.parametrize(
    ("functions", "words"),
    [
        ({"term": "raises"}, "stranger_terms:raises raised KeyError: 'boom'"),
        ({"term": "each"}, r"stranger_terms:each returned a Tensor of shape \(16,\), expected a scalar"),
        ({"term": "nothing"}, "stranger_terms:nothing returned a NoneType, expected a scalar"),
        ({"term": "with_companion"}, "stranger_terms:with_companion raised KeyError"),
        ({"finish": "raises"}, "stranger_terms:raises raised KeyError"),
        ({"finish": "renames"}, "stranger_terms:renames returned something else than weights"),
        ({"finish": "nothing"}, "stranger_terms:nothing returned something else than weights"),
        ({"finish": "halves"}, "stranger_terms:halves changed the weights that it was given"),
        ({"finish": "diverges"}, "stranger_terms:diverges returned weights that are not finite"),
        ({"adapter": "stays"}, "stranger_terms:stays did not restore the network's parameters when it was taken out"),
        ({"adapter": "raises"}, "stranger_terms:raises raised KeyError"),
        ({"adapter": "nothing"}, "stranger_terms:nothing returned a NoneType, expected what takes the adapter out"),
    ],
)
def test_a_function_that_fails_is_named(functions: dict[str, str], words: str) -> None:
    """The author of the plugin reads which function failed, and how."""
    with pytest.raises(StrategyError, match=words):
        trained(**functions)


@pytest.mark.usefixtures("stranger")
def test_short_memory_is_no_fault_of_a_term_and_a_broken_module_is_named() -> None:
    """Less memory is a smaller batch; whatever a module raises when it is imported is one line."""
    with pytest.raises(OutOfMemoryError):
        trained(term="short")
    with pytest.raises(PluginError, match=r'"stranger_broken:f" cannot be imported: half written\.'):
        loss_terms.load(Term(function="stranger_broken:f"))


@pytest.mark.usefixtures("stranger")
def test_what_a_term_sets_for_the_whole_process_is_set_back(capsys: pytest.CaptureFixture[str]) -> None:
    """As of every function of a plugin: the next step and every other network compute as before."""
    trained(term="meddles")
    assert (torch.get_default_dtype(), torch.is_grad_enabled()) == (torch.float32, True)
    assert capsys.readouterr().out == ""
