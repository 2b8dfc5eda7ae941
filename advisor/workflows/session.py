"""A data set opened for one command of its own: items, backbone, input size and resources, without a search around it.

In: a path and what a person asked for. Out: a `Session` whose resources holds the pool alone; the locked test stays shut.
Does NOT cover: the main job (`advice`), which keeps its resources in a worker process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from advisor import registry
from advisor.data import dataset, domains, profile
from advisor.errors import InputError
from advisor.execution.resources import Resources
from advisor.hooks import Backbone, Context, Parameter, Strategy
from advisor.records import Candidate, Dataset, Settings, recipe_file
from advisor.records.messages import OpenDataset
from advisor.runtime import device
from advisor.tuning import availability, candidates

Report = Callable[[str, int, int], None]


def report_nothing(what: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """A data set at hand. `size_px` is the input size; `warnings` say what was left out."""

    dataset: Dataset
    resources: Resources
    backbone: Backbone
    size_px: int
    warnings: tuple[str, ...]
    target: domains.Target | None = None


def open_session(
    settings: Settings, *, target: str | None = None, folds: int = 5, report: Report = report_nothing
) -> Session:
    """Read a data set and choose backbone and size as asked, or the most accurate backbone whose weights are in reach.

    `target` is a folder of unlabelled images. Images that cannot be decoded are left out. Raises AdviseError where
    nothing can be learned from, or no weights are in reach.
    """
    found = dataset.read(settings.data, test_split=settings.test_split)
    profile.check_learnable(found)
    measured = profile.measure(found)
    found = profile.set_aside(found, measured.unreadable)
    aim = domains.read(target, found.classes) if target else None
    plugins = registry.load(block=settings.plugins_blocked)
    reachable, _ = availability.find(plugins, settings, plugins.strategies)
    backbone = sorted(reachable, key=lambda b: (-(b.published_accuracy or 0.0), b.macs or 0, b.name))[0]
    size_px = max(candidates.sizes(measured, backbone, settings.size_px))
    job = _job(settings, found, aim, folds)
    resources = Resources(job, plugins, report)
    rule = resources.rule(backbone, size_px)
    resources.canvas(rule)
    broken = [*resources.unreadable, *(resources.target_canvas(rule)[1] if aim else ())]
    unread = [*broken, *(aim.unreadable if aim else ())]
    warnings = (*found.warnings, *(f"{u.path} cannot be read ({u.reason}); it is left out" for u in unread))
    if broken:
        gone = {u.path for u in broken}
        aim = domains.drop_items(aim, tuple(gone)) if aim else None
        job = replace(_job(settings, found, aim, folds), items=tuple(i for i in found.pool if i.path not in gone))
        resources = Resources(job, plugins, report)
    device.apply(resources.compute(backbone))
    return Session(
        dataset=found, resources=resources, backbone=backbone, size_px=size_px, warnings=warnings, target=aim
    )


def _job(settings: Settings, found: Dataset, aim: domains.Target | None, folds: int) -> OpenDataset:
    return OpenDataset(
        root=found.root,
        classes=found.classes,
        items=found.pool,
        folds=folds,
        seed=settings.seed,
        device=settings.device,
        run_dir="",
        weights_dir=settings.weights_dir,
        offline=settings.offline,
        has_groups=found.has_groups,
        threads=settings.threads,
        target_root=aim.root if aim else "",
        target_items=aim.items if aim else (),
    )


def pool_context(session: Session) -> Context:
    """Give what strategies may know of the whole pool."""
    import numpy as np

    rows = np.arange(len(session.resources.labels))
    return session.resources.context(session.backbone, rows, session.size_px)


def make_candidate(session: Session, strategy: str, given: Mapping[str, Any] | None = None) -> Candidate:
    """Give a strategy's first guess for this data, with these parameters changed.

    Raises PluginError for an unknown strategy, InputError where it does not apply or a parameter is not legal.
    """
    chosen = session.resources.registry.strategy(strategy)
    here = pool_context(session)
    reason = chosen.applies(here)
    if reason:
        raise InputError(f"strategy {strategy} does not apply here: {reason}.")
    parameters = {**chosen.first_guesses(here)[0], **(given or {})}
    recipe_file.check_parameters(chosen, parameters, path=strategy)
    return Candidate(
        backbone=session.backbone.name,
        strategy=strategy,
        parameters=parameters,
        origin="guess",
        size_px=session.size_px,
    )


def parse_parameters(strategy: Strategy, settings: Sequence[str]) -> dict[str, Any]:
    """Read `name=value` pairs by the kinds on the strategy's card. Raises InputError."""
    declared: dict[str, Parameter] = {p.name: p for p in getattr(strategy.card, "parameters", ())}
    found: dict[str, Any] = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals or name not in declared:
            known = ", ".join(declared) or "none"
            raise InputError(
                f"--set {text}: expected NAME=VALUE with a parameter of {strategy.name}.", hint=f"There are {known}."
            )
        found[name] = _value(declared[name], value)
    return found


def _value(parameter: Parameter, text: str) -> Any:
    try:
        if parameter.kind == "int":
            return int(text)
        if parameter.kind == "float":
            return float(text)
    except ValueError:
        raise InputError(f"--set {parameter.name}={text}: expected a number.") from None
    return next((c for c in parameter.choices if str(c) == text), text)
