"""A data set opened for a command without a search: items, backbone, input size and training resources.

In: settings. Out: a `Session` whose resources hold only the pool; the locked test set is not read. Does NOT cover: the main
job (`advice`), whose resources live in a worker process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from advisor import registry
from advisor.aliases import NamedProgress
from advisor.data import domains, profile
from advisor.data.similarity import joined_data, joining
from advisor.errors import InputError
from advisor.execution.resources import Resources
from advisor.execution.worker import open_job
from advisor.hooks import Backbone, Context, Parameter, Strategy
from advisor.records import Candidate, Dataset, Settings, recipe_file
from advisor.records.messages import OpenDataset
from advisor.runtime import device
from advisor.tuning import availability, candidates


def report_nothing(what: str, done: int, total: int) -> None:
    """NamedProgress nothing."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """An opened data set. `size_px` is the input size; `warnings` list the images that were left out."""

    dataset: Dataset
    resources: Resources
    backbone: Backbone
    size_px: int
    warnings: tuple[str, ...]
    target: domains.Target | None = None


def open_session(
    settings: Settings,
    *,
    target: str | None = None,
    folds: int = 5,
    budget_s: float | None = None,
    join: joined_data.Join = joining.join,
    report: NamedProgress = report_nothing,
) -> Session:
    """Read a data set and choose backbone and size: those requested, or the most accurate backbone with local weights.

    `target` is a folder of unlabelled images; `budget_s`, the time of the whole command, bounds the search for similar images.
    Images that cannot be decoded are left out. Raises AdviseError if there are too few readable images or no weights are
    available.
    """

    def say(text: str) -> None:
        report(text, 0, 0)

    decoded = joined_data.read(settings, budget_s=budget_s, note=say, stage=say, report=report, join=join)
    data_set = decoded.dataset
    profile.check_learnable(data_set)
    measured = profile.measure(data_set, similar=decoded.similar)
    target_images = domains.read(target, data_set.classes) if target else None
    plugins = registry.load(block=settings.plugins_blocked).at_revisions(settings.revisions)
    reachable, _ = availability.find(plugins, settings, plugins.strategies)
    backbone = sorted(reachable, key=lambda b: (-(b.published_accuracy or 0.0), b.macs or 0, b.name))[0]
    size_px = max(candidates.sizes(measured, backbone, settings.size_px))
    resources = Resources(_job(settings, data_set, target_images, folds), plugins, report)
    rule = resources.rule(backbone, size_px)
    resources.canvas(rule)
    broken = [*resources.unreadable, *(resources.target_canvas(rule)[1] if target_images else ())]
    unread = [*data_set.unreadable, *broken, *(target_images.unreadable if target_images else ())]
    if broken:
        paths = tuple(u.path for u in broken)
        target_images = domains.drop_items(target_images, paths) if target_images else None
        job = _job(settings, data_set, target_images, folds)
        resources = Resources(replace(job, items=tuple(i for i in job.items if i.path not in paths)), plugins, report)
    device.apply(resources.compute(backbone))
    return Session(
        dataset=data_set,
        resources=resources,
        backbone=backbone,
        size_px=size_px,
        warnings=(*data_set.warnings, *(f"{u.path} cannot be read ({u.reason}); it is left out" for u in unread)),
        target=target_images,
    )


def _job(settings: Settings, data_set: Dataset, target_images: domains.Target | None, folds: int) -> OpenDataset:
    job = open_job(replace(settings, workers=1, devices=1), None, data_set, data_set.pool, folds=folds)
    if target_images is None:
        return job
    return replace(job, target_root=target_images.root, target_items=target_images.items)


def pool_context(session: Session) -> Context:
    """Return the facts about the whole pool that strategies may use."""
    import numpy as np

    rows = np.arange(len(session.resources.labels))
    return session.resources.context(session.backbone, rows, session.size_px)


def make_candidate(session: Session, strategy: str, overrides: Mapping[str, Any] | None = None) -> Candidate:
    """Return a strategy's first guess for this data, with `overrides` in place of its parameters.

    Raises PluginError for an unknown strategy, InputError if it does not apply or a parameter is not legal.
    """
    chosen = session.resources.registry.strategy(strategy)
    pool = pool_context(session)
    reason = chosen.applies(pool)
    if reason:
        raise InputError(f"strategy {strategy} does not apply to this data: {reason}.")
    kinds = {p.name: p.kind for p in getattr(chosen.card, "parameters", ())}
    given = {
        name: int(value) if kinds.get(name) == "int" and isinstance(value, float) and value.is_integer() else value
        for name, value in (overrides or {}).items()  # 8.0 epochs are 8 where whole ones are counted
    }
    parameters = {**chosen.first_guesses(pool)[0], **given}
    recipe_file.check_parameters(chosen, parameters, path=strategy)
    return Candidate(
        backbone=session.backbone.name,
        strategy=strategy,
        parameters=parameters,
        origin="guess",
        size_px=session.size_px,
    )


def parse_parameters(strategy: Strategy, settings: Sequence[str]) -> dict[str, Any]:
    """Parse `name=value` pairs by the parameter kinds on the strategy's card. Raises InputError."""
    declared: dict[str, Parameter] = {p.name: p for p in getattr(strategy.card, "parameters", ())}
    parameters: dict[str, Any] = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals or name not in declared:
            names = ", ".join(declared) or "none"
            raise InputError(
                f"--set {text}: expected NAME=VALUE with a parameter of {strategy.name}.",
                hint=f"Its parameters: {names}.",
            )
        parameters[name] = _value(declared[name], value)
    return parameters


def _value(parameter: Parameter, text: str) -> Any:
    try:
        if parameter.kind == "int":
            return int(text)
        if parameter.kind == "float":
            return float(text)
    except ValueError:
        raise InputError(f"--set {parameter.name}={text}: expected a number.") from None
    return next((c for c in parameter.choices if str(c) == text), text)
