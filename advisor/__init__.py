"""tl-advise: from a folder of images to a good classifier, with the advice, the evidence, and a score that is true.

    import advisor

    result = advisor.advise("photos", budget="3m", out="run1")     # Result: the fields of result.json
    profile = advisor.inspect("photos")                            # Profile: what was measured, no network
    again = advisor.rerun("run1")                                  # Rerun: the same number again
    predictions = advisor.load("run1").predict(["new.jpg"])        # classes, probabilities

Each returns a record. Nothing is imported before it is called: `import advisor` costs milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pathlib

    from advisor.models.ensemble_predictor import EnsemblePredictor
    from advisor.models.predictor import Predictor
    from advisor.records import Profile, Result
    from advisor.workflows.rerun_verify import Rerun

from advisor._version import __version__ as __version__

__all__ = ["advise", "inspect", "load", "rerun"]

Path = str | PathLike[str]


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
    size: int | None = None,
    device: str = "auto",
    weights_dir: Path | None = None,
    offline: bool = False,
    test_split: str = "auto",
    remove_leaks: bool = False,
) -> Result:
    """Run the main job and give its result; `result.files` lie in `out` (default: ./tl-advise-runs/NAME-TIME).

    `budget` is seconds, or text such as "10m" (default: 15 minutes, none where only `trials` is given). The clock
    starts with the call. Raises AdviseError with one line that says what, where, and what to do.
    """
    import os

    from advisor import advice
    from advisor.records import Settings
    from advisor.runtime import durations

    if budget is None:
        seconds = None if trials is not None else 900.0
    else:
        seconds = durations.parse(budget) if isinstance(budget, str) else float(budget)
    settings = Settings(
        data=os.fspath(path),
        command=f"tl-advise {os.fspath(path)}",
        budget_s=seconds,
        trials=trials,
        seed=seed,
        device=device,
        size_px=size,
        backbones=tuple(backbones),
        strategies=tuple(strategies),
        regime=regime,
        weights_dir=None if weights_dir is None else os.fspath(weights_dir),
        offline=offline,
        test_split=test_split,
        remove_leaks=remove_leaks,
    )
    return advice.advise(settings, out=_path(out), from_process_start=False)[0]


def inspect(path: Path, *, deep: bool = False, test_split: str = "auto") -> Profile:
    """Look at a data set without any network; `deep` decodes every image and looks for near-duplicates."""
    import os

    from advisor.data import dataset, profile

    found = dataset.read(os.fspath(path), test_split=test_split)
    profile.check_learnable(found)
    return profile.measure(found, deep=deep)


def rerun(recipe: Path, *, data: Path | None = None, seeds: int = 1, out: Path | None = None) -> Rerun:
    """Train a recipe again and score it; `data` applies it to other data on purpose."""
    from pathlib import Path as Place

    from advisor.records import recipe_file
    from advisor.workflows import rerun as replay
    from advisor.workflows import rerun_adaptation

    told = recipe_file.read(recipe)
    if told.target is not None:
        return rerun_adaptation.rerun_adapted(told, Place(recipe), data=_path(data), seeds=seeds, out=_path(out))
    return replay.rerun_recipe(Place(recipe), data=_path(data), seeds=seeds, out=_path(out))


def load(run_or_recipe: Path) -> Predictor | EnsemblePredictor:
    """Load a run's model for `predict(images)`: paths, PIL images or (H, W, 3) uint8 arrays.

    From then on this process keeps the memory that it frees (glibc's mallopt): a network runs up to three times as fast.
    """
    from pathlib import Path as Place

    from advisor import registry
    from advisor.models import ensemble_predictor, model_files, predictor
    from advisor.runtime import device as devices

    devices.keep_freed_memory()
    place = Place(run_or_recipe)
    folder = place if place.is_dir() else place.parent
    if (folder / model_files.ENSEMBLE).is_file():  # RUN/ensemble, or an export of it
        return ensemble_predictor.load(folder, registry.load())
    return predictor.load(folder, registry.load())


def _path(path: Path | None) -> pathlib.Path | None:
    from pathlib import Path as Place

    return None if path is None else Place(path)
