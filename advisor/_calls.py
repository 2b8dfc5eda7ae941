"""Longer bodies of functions of the Python interface. Does NOT cover: their signatures and documentation (`advisor`)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from advisor import _arguments
from advisor._arguments import PathArgument
from advisor.aliases import NamedProgress
from advisor.errors import InputError
from advisor.records.data import ReadOptions

if TYPE_CHECKING:
    from advisor.records import Profile
    from advisor.workflows.adaptation_run import AdaptedRun
    from advisor.workflows.comparison import Comparison
    from advisor.workflows.fewshot import FewShotResult
    from advisor.workflows.lr_finder import Sweep
    from advisor.workflows.rerun_verify import Rerun


def inspect(path: PathArgument, *, deep: bool, test_split: str, reading: Mapping[str, Any]) -> Profile:
    """Measure a data set. Raises InputError for an unknown option."""
    from advisor.data import dataset, profile

    unknown = sorted(set(reading) - set(ReadOptions.__dataclass_fields__))
    if unknown:
        names = ", ".join(ReadOptions.__dataclass_fields__)
        raise InputError(f"inspect() has no option {unknown[0]!r}.", hint=f"Options are deep, test_split, {names}.")
    options = replace(ReadOptions(), **reading)
    data = dataset.read(os.fspath(path), test_split=test_split, options=options)
    profile.check_learnable(data)
    return profile.measure(data, deep=deep)


def rerun(recipe: PathArgument, target: PathArgument | None, options: Mapping[str, Any]) -> Rerun:
    """Retrain a recipe, of an adaptation too."""
    from advisor.records import recipe_file
    from advisor.workflows import rerun as reruns
    from advisor.workflows import rerun_adaptation

    path = _arguments.path(recipe)
    read = recipe_file.read(path)
    if read.target is not None:
        return rerun_adaptation.rerun_adapted(read, path, target=_arguments.optional(target), **options)
    return reruns.rerun_recipe(path, unlabelled=_arguments.optional(target), **options)


def adapt(
    path: PathArgument,
    target: PathArgument,
    *,
    out: PathArgument | None,
    progress: NamedProgress | None,
    fields: dict[str, Any],
) -> AdaptedRun:
    """Adapt to a target within a budget that begins with this call."""
    from advisor.runtime.clock import Clock
    from advisor.workflows import adaptation_run
    from advisor.workflows.session import report_nothing

    settings = _arguments.settings(path, **fields)
    report = progress or report_nothing
    return adaptation_run.run(
        settings,
        os.fspath(target),
        out=_arguments.optional(out),
        clock=Clock(settings.budget_s, started=time.monotonic()),
        report=report,
        note=lambda text: report(text, 0, 0),
    )


def fewshot(
    path: PathArgument,
    strategies: Iterable[str],
    *,
    layers: str,
    epochs: float | None,
    progress: NamedProgress | None,
    options: Mapping[str, Any],
    counts: Mapping[str, int],
) -> FewShotResult:
    """Evaluate few-shot heads; `counts` are ways, shots, queries and episodes."""
    from advisor.workflows import fewshot as few
    from advisor.workflows.session import make_candidate, pool_context

    session, report = _arguments.session(path, options, progress)
    plugins = session.resources.registry
    names = list(strategies) or few.capable(plugins.strategies, pool_context(session))
    tried = [make_candidate(session, n, few.shared_parameters(plugins.strategy(n), layers, epochs)) for n in names]
    return few.evaluate(session, tried, layers=layers, report=report, seed=int(options.get("seed", 0)), **dict(counts))


def compare(
    path: PathArgument,
    arms: Iterable[str],
    *,
    given: Mapping[str, Any],
    progress: NamedProgress | None,
    options: Mapping[str, Any],
) -> Comparison:
    """Train several arms; `given` are epochs, batch and surface."""
    from advisor.workflows import comparison

    seed = int(options.get("seed", 0))
    session, report = _arguments.session(path, options, progress)
    return comparison.compare(session, list(arms), seed=seed, report=report, **given)


def lr_find(
    path: PathArgument,
    strategy: str,
    parameters: Mapping[str, Any],
    low: float,
    high: float,
    steps: int,
    *,
    progress: NamedProgress | None,
    options: Mapping[str, Any],
) -> Sweep:
    """Sweep the rates of a strategy. Raises InputError for impossible rates, before anything is read."""
    from advisor.workflows import lr_finder
    from advisor.workflows.session import make_candidate

    lr_finder.rates(low, high, steps)
    session, report = _arguments.session(path, options, progress)
    candidate = make_candidate(session, strategy, dict(parameters))
    seed = int(options.get("seed", 0))
    return lr_finder.sweep(session, candidate, low=low, high=high, steps=steps, seed=seed, report=report)
