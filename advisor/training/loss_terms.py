"""Extra losses and last touches that a plan names as "module:function": finding them, and what they are shown.

A term is called as `function(inputs, **numbers)` and gives a scalar to add to the loss. A finish is called as
`function(start, tuned, **numbers)` with weights by name, and gives the weights to keep. A term that needs parameters of
its own (a domain classifier) has an attribute `companion`, a function of (width, classes) that builds them; they train
at the head's rate and are thrown away at the end. A term that compares with a teacher's answers has an attribute
`needs_teacher` that is true. What their code raises, or gives instead, names the function.
Does NOT cover: any particular one; they live with their strategies.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from advisor.errors import AdviseError, PluginError, StrategyError, is_out_of_memory, one_line
from advisor.hooks import TermInputs
from advisor.records.plan import Term
from advisor.runtime import rng
from advisor.runtime.process import third_party


def load(term: Term) -> Callable[..., Any]:
    """Import the function that a term names.

    Raises PluginError where the name is malformed, cannot be imported, or is no function.
    """
    module, _, name = term.function.partition(":")
    if not module or not name:
        raise PluginError(f'term "{term.function}": expected "module:function".')
    try:
        with third_party.contained():
            function = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # the code of a plugin's module may raise anything
        raise PluginError(f'term "{term.function}" cannot be imported: {one_line(error)}.') from error
    if not callable(function):
        raise PluginError(f'term "{term.function}" is a {type(function).__name__}, expected a function.')
    return function  # type: ignore[no-any-return]


def needs_teacher(terms: Sequence[Term]) -> bool:
    """Return True if one of these terms compares with a teacher's answers."""
    return any(getattr(load(term), "needs_teacher", False) for term in terms)


@contextmanager
def named(term: Term) -> Iterator[None]:
    """Name the function of a term in what its code raises: StrategyError. Short memory and errors of ours pass.

    What it sets for the whole process is set back.
    """
    try:
        with third_party.contained():
            yield
    except AdviseError:
        raise
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            raise
        raise failure(term, f"raised {type(error).__name__}: {one_line(error)}") from error


def failure(term: Term, what: str) -> StrategyError:
    """Return the error of a function that did `what`."""
    return StrategyError(
        f"{term.function} {what}.",
        hint="`tl-advise plugins check` tests its strategy.",
        reason=f"{term.function} {what}",
    )


def as_loss(term: Term) -> Callable[..., Any]:
    """Load a term; called, it gives a scalar to add to the loss. Raises StrategyError where its code fails or gives else."""
    function = load(term)

    def loss(inputs: TermInputs, **numbers: float) -> Any:
        with named(term):
            value = function(inputs, **numbers)
        is_scalar = value.numel() == 1 if isinstance(value, torch.Tensor) else isinstance(value, int | float)
        if not is_scalar:
            shape = f" of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else ""
            raise failure(term, f"returned a {type(value).__name__}{shape}, expected a scalar to add to the loss")
        return value

    return loss


def finish(
    term: Term, start: Mapping[str, torch.Tensor], tuned: Mapping[str, torch.Tensor], numbers: Mapping[str, float]
) -> dict[str, torch.Tensor]:
    """Return the weights that a plan's finish makes of those at the start and at the end, which stay what they are.

    Raises StrategyError where its code fails, changes what it was given, or returns something else than finite weights.
    """
    function = load(term)
    given = [*start.values(), *tuned.values()]
    versions = [value._version for value in given]
    with named(term):
        weights = function(start, tuned, **{**term.numbers, **numbers})
    if versions != [value._version for value in given]:  # another share of the same weights may be wanted next
        raise failure(term, "changed the weights that it was given, expected new ones")
    if not isinstance(weights, Mapping) or any(
        n not in tuned or _shape(w) != tuned[n].shape for n, w in weights.items()
    ):
        raise failure(term, "returned something else than weights by the names and shapes that it was given")
    spoilt = next((n for n, w in weights.items() if not _is_finite(w) and _is_finite(tuned[n])), None)
    if spoilt is not None:
        raise failure(term, f"returned weights that are not finite, {spoilt} first")
    return dict(weights)


def _is_finite(weights: torch.Tensor) -> bool:
    return bool(weights.isfinite().all())


def _shape(value: object) -> torch.Size | None:
    return value.shape if isinstance(value, torch.Tensor) else None


def companions(terms: Sequence[Term], head: nn.Module, seed: int) -> nn.ModuleDict:
    """Build the parameters that terms bring along, by the term's position; each from (seed, position) alone."""
    modules = nn.ModuleDict()
    for position, term in enumerate(terms):
        build = getattr(load(term), "companion", None)
        if build is not None:
            classes, width = next(head.parameters()).shape
            with torch.random.fork_rng(devices=[]), named(term):
                torch.manual_seed(rng.key(seed, "companion", position))
                modules[str(position)] = build(width, classes)
    return modules
