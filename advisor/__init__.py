"""tl-advise: from a folder of images to a good classifier, with the evidence, and an honest test score.

    import advisor

    result = advisor.advise("photos", budget="3m", out="run1")     # the fields of result.json
    profile = advisor.inspect("photos")                            # what the folder holds; nothing is trained
    rerun = advisor.rerun("run1")                                  # the same score again
    predictions = advisor.load("run1").predict(["new.jpg"])        # classes, probabilities

Each returns a record. Nothing is imported before it is called: `import advisor` takes milliseconds. Every function may be
called from a thread, inside a running event loop, and without a main guard. Each raises `advisor.errors.AdviseError` with
one line that says what happened, where, and what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advisor.exporting.run_export import Exported
    from advisor.insight.labelling import NextImages
    from advisor.models.ensemble_predictor import EnsemblePredictor
    from advisor.models.predictor import Predictor
    from advisor.models.pretrained_weights import Located
    from advisor.records import Profile
    from advisor.reporting.notebook import ShownResult
    from advisor.workflows.adaptation_run import AdaptedRun
    from advisor.workflows.comparison import Comparison
    from advisor.workflows.fewshot import FewShotResult
    from advisor.workflows.finished.evaluation import Evaluation
    from advisor.workflows.lr_finder import Sweep
    from advisor.workflows.rerun_verify import Rerun

from advisor._version import __version__ as __version__

__all__ = [
    "adapt",
    "advise",
    "compare",
    "distill",
    "evaluate",
    "export",
    "fetch_weights",
    "fewshot",
    "inspect",
    "label_next",
    "load",
    "load_result",
    "lr_find",
    "rerun",
    "weights",
]

Path = str | PathLike[str]
Progress = Callable[[str, int, int], None]  # (what, done, total); total is 0 where it is not known


def __dir__() -> list[str]:
    """Return the public names."""
    return [*__all__, "__doc__", "__version__"]


def advise(
    path: Path,
    *,
    budget: str | float | None = None,
    trials: int | None = None,
    out: Path | None = None,
    seed: int = 0,
    backbones: Iterable[str] = (),
    strategies: Iterable[str] = (),
    regime: str | None = None,
    objective: str = "log_loss",
    size: int | None = None,
    device: str = "auto",
    threads: int | None = None,
    workers: int | None = None,
    gpus: int = 1,
    weights_dir: Path | None = None,
    offline: bool = False,
    test_split: str = "auto",
    remove_leaks: bool = False,
    block: Iterable[str] = (),
    source: Path | None = None,
    storage: str | None = None,
    study: str = "",
    log: Iterable[str] = (),
    progress: Progress | None = None,
    **settings: Any,
) -> ShownResult:
    """Train a classifier from a folder of images; `result.files` are in `out` (default: ./tl-advise-runs/NAME-TIME).

    `budget` is in seconds, or text such as "10m" (default: 15 minutes, none where only `trials` is given); the clock
    starts with the call. The other options are those of `tl-advise advise`; `settings` are further fields of
    `advisor.records.Settings` and `advisor.records.data.ReadOptions`. `progress` is called with (what, done, total) from
    the calling thread.
    """
    from advisor import _arguments, _calls

    machine = {"device": device, "threads": threads, "workers": workers, "devices": gpus, "offline": offline}
    search = {"regime": regime, "objective": objective, "size_px": size, "trials": trials, "seed": seed}
    names = {"backbones": backbones, "strategies": strategies, "plugins_blocked": block}
    files = {"weights_dir": _arguments.text(weights_dir), "source": _arguments.text(source), "log": log}
    settings |= {"test_split": test_split, "remove_leaks": remove_leaks, **files, **names, **machine, **search}
    settings |= {"budget_s": _arguments.seconds(budget, trials), **_arguments.stored(storage, study)}
    return _calls.advise(path, out=out, progress=progress, fields=settings)


def inspect(path: Path, *, deep: bool = False, test_split: str = "auto", **reading: Any) -> Profile:
    """Measure a data set without any network; `deep` decodes every image and searches for near-duplicates.

    `reading` are fields of `advisor.records.data.ReadOptions`: label_column, layout, exclude ...
    """
    from advisor import _calls

    return _calls.inspect(path, deep=deep, test_split=test_split, reading=reading)


def adapt(
    path: Path,
    target: Path,
    *,
    budget: str | float | None = None,
    trials: int | None = None,
    out: Path | None = None,
    strategies: Iterable[str] = (),
    progress: Progress | None = None,
    **settings: Any,
) -> AdaptedRun:
    """Train on labelled images and adapt to the unlabelled images of `target`, as `tl-advise advise --target` does.

    `trials` is the number of seeds, `strategies` the arms; `settings` as in `advise`.
    """
    from advisor import _arguments, _calls

    fields = {"trials": trials, "strategies": strategies, **settings, "budget_s": _arguments.seconds(budget, trials)}
    return _calls.adapt(path, target, out=out, progress=progress, fields=fields)


def rerun(
    recipe: Path,
    *,
    data: Path | None = None,
    seeds: int = 1,
    out: Path | None = None,
    weights_dir: Path | None = None,
    offline: bool = False,
    device: str | None = None,
    target: Path | None = None,
    block: Iterable[str] = (),
) -> Rerun:
    """Retrain a recipe (or the recipe of a run) and score it; `data` applies it to another data set.

    `target` is where the unlabelled images of an adapted or distilled run are now, `block` names plugins not to load.
    """
    from advisor import _arguments, _calls

    places = {"data": _arguments.optional(data), "out": _arguments.optional(out)}
    options: dict[str, Any] = {**places, "weights_dir": _arguments.text(weights_dir)}
    options |= {
        "seeds": _arguments.count("seeds", seeds),
        "offline": _arguments.flag("offline", offline),
        "device": device,
        "block": _arguments.plugins(block),
    }
    return _calls.rerun(recipe, target, options)


def load(run: Path) -> Predictor | EnsemblePredictor:
    """Load the model of a run for `predict(images)`: paths, folders, arrays, PIL images or file objects."""
    from advisor import _calls

    return _calls.load(run)


def load_result(run: Path) -> ShownResult:
    """Read the result of a run, as `tl-advise show` does."""
    from advisor import _calls

    return _calls.load_result(run)


def export(
    run: Path, *, format: str = "torch", out: Path | None = None, data: Path | None = None, **options: Any
) -> Exported:
    """Export the model of a run as "torch", "onnx", "openvino" or "safetensors", verified against `predict`.

    `options`: `progress`, `ensemble`; or `int8=True` (ONNX in 8 bits) with `tolerate`, the accuracy that may be lost, 0..1.
    """
    from advisor import _calls

    return _calls.export(run, format, out=out, data=data, options=options)


def compare(
    path: Path,
    arms: Iterable[str] = ("pretrained", "scratch"),
    *,
    epochs: float = 8.0,
    batch: int = 32,
    surface: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> Comparison:
    """Train several arms for the same number of steps. `options`: backbone, size, seed, threads, `label_column` ..."""
    from advisor import _calls

    return _calls.compare(path, arms, (epochs, batch, surface), progress=progress, options=options)


def distill(
    run: Path,
    *,
    unlabelled: Path | None = None,
    out: Path | None = None,
    data: Path | None = None,
    max_ms: float | None = None,
    max_mb: float | None = None,
    parameters: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> ShownResult:
    """Train a smaller network with the help of a run's model, as `tl-advise distill`; `result.distillation` has the gain.

    `unlabelled` is a folder of images to learn from as well, `data` where the run's own images are now, `max_ms` and `max_mb`
    are limits of the exported model, `parameters` those of the strategy distill; `options` as in compare, and `block`.
    """
    from advisor import _calls

    places = {"unlabelled": unlabelled, "out": out, "data": data}
    given = {**options, "max_ms": max_ms, "max_mb": max_mb}
    return _calls.distill(run, places=places, parameters=parameters or {}, progress=progress, options=given)


def evaluate(run: Path, data: Path, *, progress: Progress | None = None, **options: Any) -> Evaluation:
    """Score a run's model on other labelled images; `options`: `split`, `offline` and fields of `records.data.ReadOptions`."""
    from advisor import _calls

    return _calls.evaluate(run, data, progress=progress, options=options)


def label_next(run: Path, images: Path | Iterable[Path], *, count: int = 20) -> NextImages:
    """Rank unlabelled images (files, folders, patterns) by how much labelling them would help, `count` at most."""
    from advisor import _calls

    return _calls.label_next(run, images, count)


def fewshot(
    path: Path,
    strategies: Iterable[str] = (),
    *,
    ways: int = 5,
    shots: int = 5,
    queries: int = 15,
    episodes: int = 600,
    layers: str = "all",
    epochs: float | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> FewShotResult:
    """Evaluate few-shot heads (all that fit frozen features, unless named) over many episodes; `options` as in compare."""
    from advisor import _calls

    counts = {"ways": ways, "shots": shots, "queries": queries, "count": episodes}
    call: dict[str, Any] = {"layers": layers, "epochs": epochs, "progress": progress, "options": options}
    return _calls.fewshot(path, strategies, counts=counts, **call)


def lr_find(
    path: Path,
    *,
    strategy: str = "full",
    parameters: Mapping[str, Any] | None = None,
    low: float = 1e-6,
    high: float = 1.0,
    steps: int = 100,
    progress: Progress | None = None,
    **options: Any,
) -> Sweep:
    """Find a learning rate with a range test; `options` as in compare."""
    from advisor import _calls

    return _calls.lr_find(path, strategy, parameters or {}, low, high, steps, progress=progress, options=options)


def weights(*, weights_dir: Path | None = None, offline: bool = False) -> dict[str, Located]:
    """Return where the pretrained weights of every backbone are: built in, cached, downloadable or unavailable."""
    from advisor import _calls

    return _calls.weights(weights_dir, offline=offline)


def fetch_weights(name: str, *, out: Path | None = None) -> Located:
    """Download the pretrained weights of a backbone, and verify them."""
    from advisor import _calls

    return _calls.fetch_weights(name, out)
