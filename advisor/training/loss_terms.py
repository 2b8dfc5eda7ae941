"""Extra losses and last touches that a plan names as "module:function": finding them, and what they are shown.

A term is called as `function(inputs, **numbers)` and gives a scalar to add to the loss. A finish is called as
`function(start, tuned, **numbers)` with weights by name, and gives the weights to keep. A term that needs parameters of
its own (a domain classifier) has an attribute `companion`, a function of (width, classes) that builds them; they train
at the head's rate and are thrown away at the end. A term that compares with a teacher's answers has an attribute
`needs_teacher` that is true.
Does NOT cover: any particular one; they live with their strategies.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from advisor.errors import PluginError
from advisor.records.plan import Term
from advisor.runtime import rng


def load(term: Term) -> Callable[..., Any]:
    """Import the function that a term names.

    Raises PluginError where the name is malformed, cannot be imported, or is no function.
    """
    module, _, name = term.function.partition(":")
    if not module or not name:
        raise PluginError(f'term "{term.function}": expected "module:function".')
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise PluginError(f'term "{term.function}" cannot be imported: {error}.') from error
    if not callable(function):
        raise PluginError(f'term "{term.function}" is a {type(function).__name__}, expected a function.')
    return function  # type: ignore[no-any-return]


def needs_teacher(terms: Sequence[Term]) -> bool:
    """Return True if one of these terms compares with a teacher's answers."""
    return any(getattr(load(term), "needs_teacher", False) for term in terms)


def companions(functions: Sequence[Callable[..., Any]], head: nn.Module, seed: int) -> nn.ModuleDict:
    """Build the parameters that terms bring along, by the term's position; each from (seed, position) alone."""
    modules = nn.ModuleDict()
    for position, function in enumerate(functions):
        if hasattr(function, "companion"):
            classes, width = next(head.parameters()).shape
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(rng.key(seed, "companion", position))
                modules[str(position)] = function.companion(width, classes)
    return modules
