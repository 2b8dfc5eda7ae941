"""Rerun of a recipe: refit and test, to the same model and score, or on other data.

In: a recipe and its data. Out: a `Rerun`, the new scores beside the recipe's. A provisional recipe has no test score: its
validation is repeated instead. Does NOT cover: what counts as agreement (`rerun_verify`), recipes of an adaptation
(`rerun_adaptation`), searching.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from advisor import registry
from advisor.data import domains, subsample
from advisor.data.remote import urls
from advisor.errors import CheckError, RecipeError
from advisor.execution.worker import Worker, open_job
from advisor.models import model_files, pretrained_weights, weight_sources
from advisor.records import Candidate, Dataset, Settings, Trial, recipe_file
from advisor.records.data import ReadOptions
from advisor.records.messages import OpenDataset, Refit, Refitted, RunTrial, Score, Scored
from advisor.records.recipe import Recipe
from advisor.runtime.progress import Listener
from advisor.selection.measurements import forgetting_budget
from advisor.workflows import rerun_output, rerun_verify
from advisor.workflows.distillation import recorded_answers
from advisor.workflows.finished.recorded_data import by_hint, read_data, recorded_reading
from advisor.workflows.finished.recorded_data import recorded_test_split as _test_split
from advisor.workflows.rerun_output import Retrained
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
    block: Sequence[str] = (),
    reading: ReadOptions | None = None,
    relabel: Path | None = None,
    source: domains.SourceImages | None = None,
    unlabelled: Path | None = None,
    verify: bool = False,
    listener: Listener | None = None,
) -> Rerun:
    """Train a recipe again and score it, `seeds` times with consecutive seeds from the recipe's.

    `data` may name other data on purpose: then the epochs stay the same, splits and temperature are new. `devices` trains
    on another number of devices than the recipe, which changes the last bits. `block` names plugins that are not
    loaded, here and in the worker. `reading` replaces how the recipe read its
    data. `relabel` is the table of corrected labels, by default the copy beside the recipe. `source` are images on which
    forgetting is measured, `unlabelled` is where the unlabelled images of a distilled student are now. Raises RecipeError if
    a plugin, the data or the weights differ from the recipe's, OutputError if `out` holds something already, CheckError
    before any training where nothing can be compared and the caller will `verify`.
    """
    began_s = time.monotonic()
    listener = listener or Listener()
    recipe = recipe_file.read(path)
    plugins = registry.load(block=block).at_revisions(revisions_of(recipe))
    candidate = candidate_of(recipe, plugins)
    weights_dir = find_weights(recipe, plugins, weights_dir, offline)
    root = data or by_hint(recipe.data.path_hint, path, "data.path_hint", "--data")
    listener.stage(f"reading the data in {urls.public(root)}")  # a recipe's relative path may lead elsewhere
    with ExitStack() as stack:
        folder = rerun_output.begin(out, root, stack)
        data_set, measured, same_data = read_data(
            recipe, path, root, reading, relabel, is_given=data is not None, offline=offline
        )
        if verify:
            rerun_verify.check_comparable(recipe, same_data)
        sample = _sample(recipe, data_set, same_data=same_data)
        settings = settings_of(recipe, str(root), device=device, weights_dir=weights_dir, offline=offline)
        settings = replace(settings, devices=devices or recipe.devices or 1, reading=reading or settings.reading)
        settings = replace(settings, relabel=str(relabel) if relabel else None, plugins_blocked=tuple(block))
        worker = Worker(log=str(folder / "worker.log"))
        stack.callback(worker.stop)
        job = open_job(settings, folder, data_set, sample.pool, folds=recipe.validation.folds)
        job = _with_teacher(job, recipe, path, data_set, plugins, unlabelled, listener, same_data=same_data)
        opened = worker.open(job, listener.progress)
        rerunner = _Rerunner(recipe, candidate, worker, listener, folder, sample, same_data, out is not None)
        runs = tuple(rerunner.score(recipe.seed + i) for i in range(seeds))
        forgetting = None
        if source:
            forgetting = forgetting_budget.measure_rerun(worker, candidate, recipe.seed, folder, source, listener)
        if out is not None and rerunner.first is not None:
            shared = (settings, recipe, data_set, measured, sample, rerunner.first.trial, plugins, opened.environment)
            index = rerun_output.index(worker, out, recipe.seed, rerunner.first, listener)
            facts = rerun_output.Measured(measured, index, forgetting, time.monotonic() - began_s)
            rerun_output.write(out, path, recipe, rerun_output.context_of(*shared), rerunner.first, facts)
    result = rerun_verify.compared(path, data_set, recipe, runs, same_data, opened.environment)
    return replace(result, forgetting=forgetting, same_devices=settings.devices == (recipe.devices or 1))


def _sample(recipe: Recipe, data_set: Dataset, *, same_data: bool) -> subsample.Subsample:
    """Draw the images that the recipe used; all of them of other data."""
    if not same_data:
        return subsample.draw(data_set, None, None)
    return subsample.draw(data_set, recipe.data.pool_sample, recipe.data.test_sample)


def _with_teacher(
    job: OpenDataset,
    recipe: Recipe,
    path: Path,
    data_set: Dataset,
    plugins: registry.Registry,
    unlabelled: Path | None,
    listener: Listener,
    *,
    same_data: bool,
) -> OpenDataset:
    """Return the job with the answers that a distilled student learns from, and with its unlabelled images."""
    if recipe.teacher is None:
        return job
    use = recipe.teacher.unlabelled
    images = unlabelled or (
        by_hint(use.path_hint, path, "teacher.unlabelled.path_hint", "--unlabelled") if use else None
    )
    return recorded_answers.add(
        job, recipe, path, data_set, plugins, images=images, same_data=same_data, listener=listener
    )


@dataclass
class _Rerunner:
    """Trains and scores a recipe with an opened worker; `validates` it on its own data too, for the run it leaves."""

    recipe: Recipe
    candidate: Candidate
    worker: Worker
    listener: Listener
    folder: Path
    sample: subsample.Subsample
    same_data: bool
    validates: bool
    first: Retrained | None = None  # of the recipe's own seed, where it was validated

    def score(self, seed: int) -> RerunScore:
        provisional = self.recipe.status == "provisional" and self.same_data
        self.listener.stage(f"training with seed {seed}")
        if provisional or not self.sample.test:
            return self._validate(seed)
        is_first = seed == self.recipe.seed
        trial = self._trial(seed) if not self.same_data or (self.validates and is_first) else None
        temperature = self.recipe.fitted.temperature if self.same_data or trial is None else trial.temperature
        folder = self.folder if is_first else self.folder / "trials" / f"seed-{seed}"
        refitted = self._refit(seed, folder, temperature, self.folds() if self.same_data else ())
        if self.same_data and self.recipe.decision is not None:
            model_files.add_decision(folder, self.recipe.decision)
        predictions = str(self.folder / "trials" / ("test.npz" if is_first else f"test-{seed}.npz"))
        score = Score(folders=(str(folder),), items=self.sample.test, predictions=predictions)
        scored = self.worker.ask(score, Scored, self.listener.progress)
        if is_first and trial is not None:
            self.first = Retrained(trial=trial, refitted=refitted, scored=scored)
        test = scored.scores[0]
        return RerunScore(
            seed=seed, accuracy=test.accuracy, n=test.n, weights_sha256=refitted.weights_sha256, test=test
        )

    def _validate(self, seed: int) -> RerunScore:
        trial = self._trial(seed)
        deep = bool(trial.steps)
        existing = tuple(score.fold for score in trial.scores)  # other data may have fewer folds
        folds = (tuple(f for f in self.folds() if f in existing) or existing[:1]) if deep else ()
        is_first = seed == self.recipe.seed
        folder = self.folder if is_first else self.folder / "trials" / f"seed-{seed}"
        refitted = self._refit(seed, folder, trial.temperature, folds)
        if is_first:
            self.first = Retrained(trial=trial, refitted=refitted, scored=None)
        n = sum(s.n for s in trial.scores)
        return RerunScore(seed=seed, accuracy=trial.accuracy, n=n, weights_sha256=refitted.weights_sha256, test=None)

    def folds(self) -> tuple[int, ...]:
        """Return the folds that the recipe's model was trained without; () if it was trained on all images."""
        training = self.recipe.training
        return training.mean_of_folds or (() if training.fold is None else (training.fold,))

    def _trial(self, seed: int) -> Trial:
        job = RunTrial(
            number=seed,
            candidate=self.candidate,
            folds=self.recipe.validation.scored,
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
            fitted=dict(self.recipe.fitted.numbers),
            status="provisional" if self.recipe.status == "provisional" and self.same_data else "final",
            folds=folds,
        )
        refitted = self.worker.ask(job, Refitted, self.listener.progress)
        if self.same_data and self.recipe.plan is not None and refitted.plan != self.recipe.plan and not folds:
            raise RecipeError(
                f"plan: the training plan of {self.recipe.strategy.name} here differs from the one in the recipe.",
                hint=f"Install {self.recipe.strategy.plugin.distribution} {self.recipe.strategy.plugin.version}, "
                "or delete `plan` from the recipe to accept it.",
            )
        return refitted


def settings_of(recipe: Recipe, data: str, *, device: str | None, weights_dir: str | None, offline: bool) -> Settings:
    """Return the settings of a rerun: the recipe's seed, device, threads and arithmetic, on these data."""
    return Settings(
        data=data,
        seed=recipe.seed,
        device=device or recipe.compute.device.partition(":")[0],
        weights_dir=weights_dir,
        offline=offline,
        threads=recipe.compute.threads,
        arithmetic=recipe.compute,
        procedure=recipe.validation.procedure,
        revisions=revisions_of(recipe),
        budget_s=None,
        test_split=_test_split(recipe),
        reading=recorded_reading(recipe),
    )


def revisions_of(recipe: Recipe) -> tuple[tuple[str, str], ...]:
    """Return (backbone, commit) where the recipe's weights are from a hub: its description is that of the same commit."""
    used = recipe.backbone.weights
    return ((recipe.backbone.name, used.revision),) if used is not None and used.revision else ()


def candidate_of(recipe: Recipe, plugins: registry.Registry) -> Candidate:
    """Return the candidate of a recipe. Raises RecipeError if a plugin is missing or a parameter is not legal."""
    named = ((recipe.backbone, plugins.has_backbone), (recipe.strategy, plugins.strategies.__contains__))
    for use, is_installed in named:
        if not is_installed(use.name):
            package = f"{use.plugin.distribution} {use.plugin.version}"
            raise RecipeError(
                f'the recipe needs "{use.name}" from the package {package}, which is not available.',
                hint=plugins.remedy(use.plugin.distribution, use.plugin.version),
            )
    recipe_file.check_parameters(plugins.strategy(recipe.strategy.name), recipe.strategy.parameters)
    return Candidate(
        backbone=recipe.backbone.name,
        strategy=recipe.strategy.name,
        parameters=dict(recipe.strategy.parameters),
        origin="recipe",
        size_px=recipe.input.size_px,
    )


def find_weights(recipe: Recipe, plugins: registry.Registry, weights_dir: str | None, offline: bool) -> str | None:
    """Return the folders in which the recipe's pretrained weights are; those of its revision are downloaded from a hub.

    Raises RecipeError if the file is not the recipe's, WeightsError if it cannot be downloaded.
    """
    used = recipe.backbone.weights
    if used is None:
        return weights_dir
    backbone = weight_sources.at_revision(plugins.backbone(recipe.backbone.name), used.revision)
    where = pretrained_weights.locate(backbone, weights_dir=weights_dir, offline=offline)
    if where.state == "downloadable":
        where = pretrained_weights.fetch(backbone, weights_dir=weights_dir, offline=offline)
    if where.path is None:  # another commit may be there, which the worker would take
        newest = weight_sources.newest(backbone)
        where = pretrained_weights.locate(newest, weights_dir=weights_dir, offline=offline)
    if where.path is None:
        return weights_dir  # the worker reports why
    digest = pretrained_weights.sha256(where.path)
    if digest != used.sha256:
        raise RecipeError(
            f"backbone.weights.sha256: the recipe was made with {used.sha256[:12]}, {where.path} is {digest[:12]}.",
            hint="Use the recipe's file (--weights-dir, --weights), or edit the recipe to accept this one.",
        )
    if not used.revision or where.state != "cached":
        return weights_dir
    return os.pathsep.join(filter(None, [str(weight_sources.link(backbone, where.path)), weights_dir]))
