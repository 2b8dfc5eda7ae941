"""Recipe -> the same model and score again, or the same recipe on other data. The refit and the test, nothing else.

In: a recipe and its data. Out: what came out beside what the recipe says. A provisional recipe has no test: its
validation is done again instead. Does NOT cover: what counts as agreement (agreement.py), recipes of an adaptation
(readapt.py), searching.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from advisor import registry
from advisor.data import dataset, domains, profile, subsample
from advisor.errors import CheckError, RecipeError
from advisor.execution.worker import Worker, open_job
from advisor.models import pretrained_weights
from advisor.records import Candidate, Dataset, Settings, Trial, recipe_file
from advisor.records.messages import Refit, Refitted, RunTrial, Score, Scored
from advisor.records.recipe import Recipe
from advisor.runtime import cache
from advisor.runtime.progress import Listener
from advisor.selection import forgetting_budget
from advisor.workflows import rerun_verify
from advisor.workflows.rerun_verify import Rerun, RerunScore


def rerun_recipe(
    path: Path,
    *,
    data: Path | None = None,
    seeds: int = 1,
    out: Path | None = None,
    weights_dir: str | None = None,
    offline: bool = False,
    device: str | None = None,
    devices: int | None = None,
    given: domains.SourceImages | None = None,
    listener: Listener | None = None,
) -> Rerun:
    """Train a recipe again and score it, `seeds` times with seeds counted up from the recipe's.

    `data` names other data on purpose: epochs stay, splits and temperature are made anew. `devices` trains on another
    number of devices than the recipe did, which changes the last bits. `given`: images on which forgetting is measured.
    Raises RecipeError where a plugin, the data or the weights are not the recipe's.
    """
    listener = listener or Listener()
    told = recipe_file.read(path)
    plugins = registry.load()
    candidate = candidate_of(told, plugins)
    check_weights(told, plugins, weights_dir, offline)
    listener.stage("looking at the data")
    found, same = _dataset(told, path, data)
    used = subsample.draw(found, told.data.pool_sample if same else None, told.data.test_sample if same else None)
    settings = settings_of(told, found.root, device=device, weights_dir=weights_dir, offline=offline)
    settings = replace(settings, devices=devices or told.devices or 1)
    with ExitStack() as stack:
        place = out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tl-advise-rerun-")))
        (place / "trials").mkdir(parents=True, exist_ok=True)
        worker = Worker(log=str(place / "worker.log"))
        stack.callback(worker.stop)
        job = replace(open_job(settings, place, found, used.pool), folds=told.validation.folds)
        opened = worker.open(job, listener.progress)
        again = _Again(told, candidate, worker, listener, place, used, same)
        runs = tuple(again.once(told.seed + i) for i in range(seeds))
        kept = forgetting_budget.measure_rerun(worker, candidate, told.seed, place, given, listener) if given else None
    result = rerun_verify.compared(path, found, told, runs, same, opened.environment)
    return replace(result, forgetting=kept, same_devices=settings.devices == (told.devices or 1))


class _Again:
    """Does a recipe once more at an opened worker."""

    def __init__(
        self,
        told: Recipe,
        candidate: Candidate,
        worker: Worker,
        listener: Listener,
        place: Path,
        used: subsample.Subsample,
        same: bool,
    ) -> None:
        self.told, self.candidate, self.worker, self.listener = told, candidate, worker, listener
        self.place, self.used, self.same = place, used, same

    def once(self, seed: int) -> RerunScore:
        provisional = self.told.status == "provisional" and self.same
        self.listener.stage(f"training with seed {seed}")
        if provisional or not self.used.test:
            return self._validate(seed)
        temperature = self.told.fitted.temperature if self.same else self._trial(seed).temperature
        folder = self.place if seed == self.told.seed else self.place / "trials" / f"seed-{seed}"
        refitted = self._refit(seed, folder, temperature, self._folds() if self.same else ())
        score = Score(folders=(str(folder),), items=self.used.test, predictions=str(self.place / "trials" / "test.npz"))
        test = self.worker.ask(score, Scored, self.listener.progress).scores[0]
        return RerunScore(
            seed=seed, accuracy=test.accuracy, n=test.n, weights_sha256=refitted.weights_sha256, test=test
        )

    def _validate(self, seed: int) -> RerunScore:
        trial = self._trial(seed)
        deep = bool(trial.steps)
        folds = (self._folds() or self.told.validation.scored[:1]) if deep else ()
        refitted = self._refit(seed, self.place / "trials" / f"seed-{seed}", trial.temperature, folds)
        n = sum(s.n for s in trial.scores)
        return RerunScore(seed=seed, accuracy=trial.accuracy, n=n, weights_sha256=refitted.weights_sha256, test=None)

    def _folds(self) -> tuple[int, ...]:
        """Give the folds on whose parts the recipe's model was trained; () for all images."""
        training = self.told.training
        return training.mean_of_folds or (() if training.fold is None else (training.fold,))

    def _trial(self, seed: int) -> Trial:
        job = RunTrial(
            number=seed,
            candidate=self.candidate,
            folds=self.told.validation.scored,
            repeat=0,
            seed=seed,
            started_s=0.0,
        )
        trial = self.worker.ask(job, Trial, self.listener.progress)
        if trial.state != "complete":
            raise CheckError(f"the recipe's training failed: {trial.error}.")
        return trial

    def _refit(self, seed: int, folder: Path, temperature: float, folds: tuple[int, ...]) -> Refitted:
        job = Refit(
            candidate=self.candidate,
            seed=seed,
            to=str(folder),
            temperature=temperature,
            fitted=dict(self.told.fitted.numbers),
            status=self.told.status,
            folds=folds,
        )
        refitted = self.worker.ask(job, Refitted, self.listener.progress)
        if self.same and self.told.plan is not None and refitted.plan != self.told.plan and not folds:
            raise RecipeError(
                f"plan: {self.told.strategy.name} plans differently here than the recipe says.",
                hint=f"Install {self.told.strategy.plugin.distribution} {self.told.strategy.plugin.version}, "
                "or delete `plan` from the recipe to accept it.",
            )
        return refitted


def settings_of(told: Recipe, data: str, *, device: str | None, weights_dir: str | None, offline: bool) -> Settings:
    """Give the call that does a recipe again: its seed, device and threads, on these data."""
    return Settings(
        data=data,
        seed=told.seed,
        device=device or told.compute.device.partition(":")[0],
        weights_dir=weights_dir,
        offline=offline,
        threads=told.compute.threads,
        budget_s=None,
        test_split=_test_split(told),
    )


def _test_split(told: Recipe) -> str:
    return "none" if told.data.split.rule == "none" else "auto"


def candidate_of(told: Recipe, plugins: registry.Registry) -> Candidate:
    """Name what a recipe trains. Raises RecipeError where a plugin is missing or a parameter is not legal."""
    for use, known in ((told.backbone, plugins.backbones), (told.strategy, plugins.strategies)):
        if use.name not in known:
            wanted = f"{use.plugin.distribution} {use.plugin.version}"
            raise RecipeError(
                f'the recipe needs "{use.name}" from the package {wanted}, which is not installed here.',
                hint=f"Install it: pip install '{use.plugin.distribution}=={use.plugin.version}'.",
            )
    recipe_file.check_parameters(plugins.strategy(told.strategy.name), told.strategy.parameters)
    return Candidate(
        backbone=told.backbone.name,
        strategy=told.strategy.name,
        parameters=dict(told.strategy.parameters),
        origin="recipe",
        size_px=told.input.size_px,
    )


def check_weights(told: Recipe, plugins: registry.Registry, weights_dir: str | None, offline: bool) -> None:
    """Raise RecipeError where the pretrained file at hand is another one than the recipe's."""
    if told.backbone.weights is None:
        return
    backbone = plugins.backbone(told.backbone.name)
    where = pretrained_weights.locate(backbone, weights_dir=weights_dir, offline=offline)
    if where.state not in ("built_in", "cached") or where.path is None:
        return  # the worker fetches it, or says why it cannot
    digest = pretrained_weights.sha256(where.path)
    if digest != told.backbone.weights.sha256:
        raise RecipeError(
            f"backbone.weights.sha256: the recipe was made with {told.backbone.weights.sha256[:12]}, "
            f"{where.path} is {digest[:12]}.",
            hint="Put the same file in its place (--weights-dir), or edit the recipe if you mean this one.",
        )


def _dataset(told: Recipe, path: Path, data: Path | None) -> tuple[Dataset, bool]:
    place = data or by_hint(told.data.path_hint, path, "data.path_hint", "--data")
    found = dataset.read(place, test_split=_test_split(told))
    profile.check_learnable(found)
    measured = profile.measure(found, deep=True, store=cache.Store())
    found = profile.set_aside(found, measured.unreadable)
    if told.data.leaks_removed:
        found = profile.without_leaks(found, measured)
    profile.check_learnable(found)
    same = found.fingerprint == told.data.fingerprint
    if not same and data is None:
        raise RecipeError(
            f"data.fingerprint: {place} has changed since the recipe was made ({found.fingerprint[:12]} instead of "
            f"{told.data.fingerprint[:12]}).",
            hint=f"If that is meant, say so: --data {place}.",
        )
    return found, same


def by_hint(stated: str, path: Path, field: str, option: str) -> Path:
    """Find a place that a recipe at `path` names: as it stands there, or beside the recipe. Raises RecipeError."""
    hint = Path(stated)
    beside = (path if path.is_dir() else path.parent) / hint
    for place in (hint, beside):
        if place.exists():
            return place
    raise RecipeError(f"{field}: {hint} is not here.", hint=f"Say where it lies: {option} PATH.")
