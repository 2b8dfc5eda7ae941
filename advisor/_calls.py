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
from advisor.data.decoding import decode_limits
from advisor.errors import InputError
from advisor.records import Settings
from advisor.records.data import ReadOptions

if TYPE_CHECKING:
    from advisor.exporting.run_export import Exported
    from advisor.insight.labelling import NextImages
    from advisor.models.ensemble_predictor import EnsemblePredictor
    from advisor.models.predictor import Predictor
    from advisor.models.pretrained_weights import Located
    from advisor.records import Profile
    from advisor.reporting.notebook import ShownResult
    from advisor.runtime.progress import Listener
    from advisor.workflows.adaptation_run import AdaptedRun
    from advisor.workflows.comparison import Comparison
    from advisor.workflows.fewshot import FewShotResult
    from advisor.workflows.finished.evaluation import Evaluation
    from advisor.workflows.lr_finder import Sweep
    from advisor.workflows.rerun_verify import Rerun


_EXPORT = ("progress", "ensemble", "int8", "tolerate")


@decode_limits.put_back()
def advise(
    path: PathArgument, *, out: PathArgument | None, progress: NamedProgress | None, fields: dict[str, Any]
) -> ShownResult:
    """Run the main job; `fields` are those of `Settings` and `ReadOptions`, without "workers" being fixed."""
    from advisor import advice
    from advisor.reporting import notebook
    from advisor.runtime import device

    if fields["workers"] is None:
        gpus = _arguments.typed({"devices": fields["devices"]}, Settings)["devices"]
        fields["workers"] = 1 if gpus > 1 else device.workers(fields["device"])
    settings = _arguments.settings(path, **fields)
    folder = _arguments.optional(out)
    result, run = advice.advise(settings, out=folder, listener=_listener(progress), from_process_start=False)
    return notebook.shown(result, run.path)


def _listener(progress: NamedProgress | None) -> Listener:
    from advisor.runtime.progress import CallbackListener, Listener

    report = _arguments.callback(progress)
    return Listener() if report is None else CallbackListener(report)


def load(run: PathArgument) -> Predictor | EnsemblePredictor:
    """Load the model or the ensemble of a run."""
    from advisor import registry
    from advisor.models import ensemble_predictor, model_files, predictor
    from advisor.runtime import device

    device.keep_freed_memory()
    folder = _arguments.folder(run)
    if os.path.isfile(folder / model_files.ENSEMBLE):  # RUN/ensemble, or an export of it
        return ensemble_predictor.load(folder, registry.load())
    return predictor.load(folder, registry.load())


def load_result(run: PathArgument) -> ShownResult:
    """Read the result of a run."""
    from advisor.reporting import notebook, stored_results

    return notebook.shown(*stored_results.read(_arguments.path(run)))


def weights(weights_dir: PathArgument | None, *, offline: bool) -> dict[str, Located]:
    """Return where the weights of every backbone are."""
    from advisor import registry
    from advisor.models import pretrained_weights

    where: dict[str, Any] = {
        "weights_dir": _arguments.text(weights_dir),
        "offline": _arguments.flag("offline", offline),
    }
    return {name: pretrained_weights.locate(b, **where) for name, b in registry.load().backbones.items()}


def fetch_weights(name: str, to: PathArgument | None) -> Located:
    """Download the weights of a backbone."""
    from advisor import registry
    from advisor.models import pretrained_weights

    return pretrained_weights.fetch(registry.load().backbone(name), to=_arguments.text(to))


@decode_limits.put_back()
def export(
    run: PathArgument, name: str, *, out: PathArgument | None, data: PathArgument | None, options: dict[str, Any]
) -> Exported:
    """Export the model of a run in the format `name`, or in 8 bits where the options hold "int8"."""
    from advisor import registry
    from advisor.exporting import int8_export, run_export

    unknown = sorted(set(options) - set(_EXPORT))
    if unknown:
        raise InputError(f"export() has no option {unknown[0]!r}.", hint=f"Options are {', '.join(_EXPORT)}.")
    _arguments.callback(options.get("progress"))
    source, plugins = _arguments.path(run), registry.load()
    options |= {name: _arguments.flag(name, options[name]) for name in ("int8", "ensemble") if name in options}
    options |= {"to": _arguments.optional(out), "data": _arguments.optional(data)}
    if options.pop("int8", False):
        return int8_export.export(source, registry=plugins, **options)
    return run_export.export(source, name, registry=plugins, **options)


@decode_limits.put_back()
def distill(
    run: PathArgument,
    *,
    places: Mapping[str, PathArgument | None],
    parameters: Mapping[str, Any],
    progress: NamedProgress | None,
    options: dict[str, Any],
) -> ShownResult:
    """Distil a run; `places` are unlabelled, out and data. Raises InputError for an unknown option."""
    import datetime

    from advisor.reporting import notebook
    from advisor.runtime.run_dir import default_folder
    from advisor.workflows.distillation import distilled_run

    blocked = _arguments.plugins(options.pop("block", ()))
    settings = replace(_arguments.single("", options, also=("max_ms", "max_mb", "block")), plugins_blocked=blocked)
    folder = _arguments.optional(places["out"]) or default_folder(_arguments.path(run), datetime.datetime.now())
    result = distilled_run.distil(
        _arguments.path(run),
        out=folder,
        settings=settings,
        images=_arguments.optional(places["unlabelled"]),
        data=_arguments.optional(places["data"]),
        overrides=[f"{name}={value}" for name, value in parameters.items()],
        listener=_listener(progress),
    )
    return notebook.shown(result, folder)


@decode_limits.put_back()
def inspect(path: PathArgument, *, deep: bool, test_split: str, reading: Mapping[str, Any]) -> Profile:
    """Measure a data set. Raises InputError for an unknown option."""
    from advisor.data import dataset, profile

    unknown = sorted(set(reading) - set(ReadOptions.__dataclass_fields__))
    if unknown:
        names = ", ".join(ReadOptions.__dataclass_fields__)
        raise InputError(f"inspect() has no option {unknown[0]!r}.", hint=f"Options are deep, test_split, {names}.")
    deep = _arguments.flag("deep", deep)
    data = dataset.read(_arguments.written(path), test_split=test_split, options=_arguments.reading(reading))
    profile.check_learnable(data)
    if not deep:
        return profile.measure(data)
    decoded = profile.decode(data)
    profile.check_learnable(decoded.dataset)  # the last image of a class may be one that cannot be decoded
    return profile.measure(decoded.dataset, deep=True, similar=decoded.similar)


@decode_limits.put_back()
def rerun(recipe: PathArgument, target: PathArgument | None, options: Mapping[str, Any]) -> Rerun:
    """Retrain a recipe, of an adaptation too."""
    from advisor.records import recipe_file
    from advisor.workflows import rerun as reruns
    from advisor.workflows import rerun_adaptation

    path = _arguments.path(recipe)
    read = recipe_file.read(path)
    if read.target is not None:
        return rerun_adaptation.rerun_adapted(read, path, target=_arguments.optional(target), **options)
    if target is not None and (read.teacher is None or read.teacher.unlabelled is None):
        raise InputError(f"target: {path} is a recipe without unlabelled images.", hint="Omit it.")
    return reruns.rerun_recipe(path, unlabelled=_arguments.optional(target), **options)


@decode_limits.put_back()
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
    report = _arguments.callback(progress) or report_nothing
    return adaptation_run.run(
        settings,
        _arguments.written(target),
        out=_arguments.optional(out),
        clock=Clock(settings.budget_s, started=time.monotonic()),
        report=report,
        note=lambda text: report(text, 0, 0),
    )


def evaluate(
    run: PathArgument, data: PathArgument, *, progress: NamedProgress | None, options: Mapping[str, Any]
) -> Evaluation:
    """Score the model of a run on other labelled images."""
    from advisor.workflows.finished import evaluation

    report = _arguments.callback(progress)
    reading = _arguments.typed(options, ReadOptions)
    return evaluation.of_run(load(run), run, _arguments.written(data), progress=report, **reading)


def label_next(run: PathArgument, images: PathArgument | Iterable[PathArgument], count: int) -> NextImages:
    """Rank unlabelled images. Raises InputError for a count below 1."""
    from advisor.insight import labelling

    most = _arguments.count("count", count)
    return labelling.of_run(load(run), run, images, most)


@decode_limits.put_back()
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
    names = list(_arguments.names(strategies)) or few.capable(plugins.strategies, pool_context(session))
    tried = [make_candidate(session, n, few.shared_parameters(plugins.strategy(n), layers, epochs)) for n in names]
    return few.evaluate(session, tried, layers=layers, report=report, seed=int(options.get("seed", 0)), **dict(counts))


@decode_limits.put_back()
def compare(
    path: PathArgument,
    arms: Iterable[str],
    given: tuple[float, int, int],
    *,
    progress: NamedProgress | None,
    options: Mapping[str, Any],
) -> Comparison:
    """Train several arms; `given` are epochs, batch size and points of a surface."""
    from advisor.workflows import comparison

    names = list(_arguments.names(arms))
    epochs, batch, surface = given
    comparison.check(names, surface)
    session, report = _arguments.session(path, options, progress)
    seed = int(options.get("seed", 0))
    return comparison.compare(session, names, epochs=epochs, batch=batch, surface=surface, seed=seed, report=report)


@decode_limits.put_back()
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
