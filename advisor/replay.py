"""Recipe -> the same model and score again, or the same recipe on other data. The refit and the test, nothing else.

In: a recipe and its data. Out: what came out beside what the recipe says. On the same kind of machine the weights must
be equal to the bit; elsewhere the score must agree within max(0.5 points, 2 images) (DESIGN 3.4). A provisional recipe
has no test: its validation is done again instead. Does NOT cover: searching.
"""

from __future__ import annotations

import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from advisor import advice, cache, dataset, environment, profile, recipe, registry, sampling, source, weights
from advisor.errors import CheckError, RecipeError
from advisor.listener import Listener
from advisor.recipe import Recipe
from advisor.records import Candidate, Dataset, Environment, Forgetting, Settings, TestScore, Trial
from advisor.records.jobs import Refit, Refitted, RunTrial, Score, Scored
from advisor.workers import Worker

POINTS = 0.005  # of accuracy, by which a rerun on another kind of machine may differ
IMAGES = 2  # or by so many images, whichever is more


@dataclass(frozen=True, kw_only=True)
class Once:
    """One rerun: its seed, the score it reached, and the hash of its weights."""

    seed: int
    accuracy: float
    n: int
    weights_sha256: str
    test: TestScore | None


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """What came out of a rerun, beside what the recipe says. `measured_on` is "test" or "validation"."""

    recipe: str
    data: str
    same_data: bool
    same_machine: bool
    measured_on: str
    expected: float | None
    expected_sha256: str | None
    runs: tuple[Once, ...]
    mean: float
    std: float | None
    environment: Environment
    forgetting: Forgetting | None = None
    same_devices: bool = True  # as many devices share the training as the recipe's did

    @property
    def identical(self) -> bool:
        """Whether the first run's weights equal the recipe's, bit for bit."""
        return self.runs[0].weights_sha256 == self.expected_sha256


def rerun(
    path: Path,
    *,
    data: Path | None = None,
    seeds: int = 1,
    out: Path | None = None,
    weights_dir: str | None = None,
    offline: bool = False,
    device: str | None = None,
    devices: int | None = None,
    given: source.Source | None = None,
    listener: Listener | None = None,
) -> Rerun:
    """Train a recipe again and score it, `seeds` times with seeds counted up from the recipe's.

    `data` names other data on purpose: epochs stay, splits and temperature are made anew. `devices` trains on another
    number of devices than the recipe did, which changes the last bits. `given`: images on which forgetting is measured.
    Raises RecipeError where a plugin, the data or the weights are not the recipe's.
    """
    listener = listener or Listener()
    told = recipe.read(path)
    plugins = registry.load()
    candidate = _candidate(told, plugins)
    _check_weights(told, plugins, weights_dir, offline)
    listener.stage("looking at the data")
    found, same = _dataset(told, path, data)
    used = sampling.used(found, told.data.pool_sample if same else None, told.data.test_sample if same else None)
    settings = Settings(
        data=found.root,
        seed=told.seed,
        device=device or told.compute.device.partition(":")[0],
        weights_dir=weights_dir,
        offline=offline,
        threads=told.compute.threads,
        devices=devices or told.devices or 1,
        budget_s=None,
    )
    with ExitStack() as stack:
        place = out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tl-advise-rerun-")))
        (place / "trials").mkdir(parents=True, exist_ok=True)
        worker = Worker(log=str(place / "worker.log"))
        stack.callback(worker.stop)
        job = replace(advice.open_job(settings, place, found, used.pool), folds=told.validation.folds)
        opened = worker.open(job, listener.progress)
        again = _Again(told, candidate, worker, listener, place, used, same)
        runs = tuple(again.once(told.seed + i) for i in range(seeds))
        kept = source.kept_by(worker, candidate, told.seed, place, given, listener) if given else None
    result = _compare(path, found, told, runs, same, opened.environment)
    return replace(result, forgetting=kept, same_devices=settings.devices == (told.devices or 1))


def verify(result: Rerun) -> str:
    """Say in one sentence that the rerun agrees. Raises CheckError where it does not."""
    first = result.runs[0]
    if result.expected is None:
        raise CheckError("the recipe states no score to compare with.", hint="Use one that tl-advise exported.")
    if not result.same_data:
        raise CheckError("--verify needs the recipe's own data.", hint="Leave --data or --verify out.")
    if result.same_machine and result.same_devices:
        if not result.identical or first.accuracy != result.expected:
            raise CheckError(
                f"the same kind of machine gave other weights ({first.weights_sha256[:12]} instead of "
                f"{(result.expected_sha256 or 'none')[:12]}), accuracy {first.accuracy:.4f} instead of {result.expected:.4f}.",
                hint="Something outside the recipe decides: please report this.",
            )
        return f"identical: weights {first.weights_sha256[:12]}, {result.measured_on} accuracy {first.accuracy:.4f}"
    allowed = max(POINTS, IMAGES / max(1, first.n))
    difference = abs(first.accuracy - result.expected)
    if difference > allowed + 1e-12:
        raise CheckError(
            f"{result.measured_on} accuracy {first.accuracy:.4f} differs from the recipe's {result.expected:.4f} by "
            f"{difference:.4f}, more than {allowed:.4f}, which {_other(result)} explains."
        )
    return (
        f"within tolerance ({_other(result)}): {result.measured_on} accuracy {first.accuracy:.4f}, "
        f"the recipe says {result.expected:.4f}, allowed are {allowed:.4f}"
    )


def _other(result: Rerun) -> str:
    return "another number of devices" if result.same_machine else "another kind of machine"


class _Again:
    """Does a recipe once more at an opened worker."""

    def __init__(
        self,
        told: Recipe,
        candidate: Candidate,
        worker: Worker,
        listener: Listener,
        place: Path,
        used: sampling.Used,
        same: bool,
    ) -> None:
        self.told, self.candidate, self.worker, self.listener = told, candidate, worker, listener
        self.place, self.used, self.same = place, used, same

    def once(self, seed: int) -> Once:
        provisional = self.told.status == "provisional" and self.same
        self.listener.stage(f"training with seed {seed}")
        if provisional or not self.used.test:
            return self._validate(seed)
        temperature = self.told.fitted.temperature if self.same else self._trial(seed).temperature
        folder = self.place if seed == self.told.seed else self.place / "trials" / f"seed-{seed}"
        refitted = self._refit(seed, folder, temperature, self.told.training.fold if self.same else None)
        score = Score(folders=(str(folder),), items=self.used.test, predictions=str(self.place / "trials" / "test.npz"))
        test = self.worker.ask(score, Scored, self.listener.progress).scores[0]
        return Once(seed=seed, accuracy=test.accuracy, n=test.n, weights_sha256=refitted.weights_sha256, test=test)

    def _validate(self, seed: int) -> Once:
        trial = self._trial(seed)
        deep = bool(trial.steps)
        fold = self.told.validation.scored[0] if deep else None
        refitted = self._refit(seed, self.place / "trials" / f"seed-{seed}", trial.temperature, fold)
        n = sum(s.n for s in trial.scores)
        return Once(seed=seed, accuracy=trial.accuracy, n=n, weights_sha256=refitted.weights_sha256, test=None)

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

    def _refit(self, seed: int, folder: Path, temperature: float, fold: int | None) -> Refitted:
        job = Refit(
            candidate=self.candidate,
            seed=seed,
            to=str(folder),
            temperature=temperature,
            fitted=dict(self.told.fitted.numbers),
            status=self.told.status,
            fold=fold,
        )
        refitted = self.worker.ask(job, Refitted, self.listener.progress)
        if self.same and self.told.plan is not None and refitted.plan != self.told.plan and fold is None:
            raise RecipeError(
                f"plan: {self.told.strategy.name} plans differently here than the recipe says.",
                hint=f"Install {self.told.strategy.plugin.distribution} {self.told.strategy.plugin.version}, "
                "or delete `plan` from the recipe to accept it.",
            )
        return refitted


def _candidate(told: Recipe, plugins: registry.Registry) -> Candidate:
    for use, known in ((told.backbone, plugins.backbones), (told.strategy, plugins.strategies)):
        if use.name not in known:
            wanted = f"{use.plugin.distribution} {use.plugin.version}"
            raise RecipeError(
                f'the recipe needs "{use.name}" from the package {wanted}, which is not installed here.',
                hint=f"Install it: pip install '{use.plugin.distribution}=={use.plugin.version}'.",
            )
    recipe.check_parameters(plugins.strategy(told.strategy.name), told.strategy.parameters)
    return Candidate(
        backbone=told.backbone.name,
        strategy=told.strategy.name,
        parameters=dict(told.strategy.parameters),
        origin="recipe",
        size_px=told.input.size_px,
    )


def _check_weights(told: Recipe, plugins: registry.Registry, weights_dir: str | None, offline: bool) -> None:
    if told.backbone.weights is None:
        return
    backbone = plugins.backbone(told.backbone.name)
    where = weights.locate(backbone, weights_dir=weights_dir, offline=offline)
    if where.state not in ("built_in", "cached") or where.path is None:
        return  # the worker fetches it, or says why it cannot
    digest = weights.sha256(where.path)
    if digest != told.backbone.weights.sha256:
        raise RecipeError(
            f"backbone.weights.sha256: the recipe was made with {told.backbone.weights.sha256[:12]}, "
            f"{where.path} is {digest[:12]}.",
            hint="Put the same file in its place (--weights-dir), or edit the recipe if you mean this one.",
        )


def _dataset(told: Recipe, path: Path, data: Path | None) -> tuple[Dataset, bool]:
    place = data or _by_hint(told, path)
    found = dataset.read(place, test_split="none" if told.data.split.rule == "none" else "auto")
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


def _by_hint(told: Recipe, path: Path) -> Path:
    hint = Path(told.data.path_hint)
    beside = (path if path.is_dir() else path.parent) / hint
    for place in (hint, beside):
        if place.exists():
            return place
    raise RecipeError(f"data.path_hint: {hint} is not here.", hint="Say where the data lie: --data PATH.")


def _compare(path: Path, found: Dataset, told: Recipe, runs: tuple[Once, ...], same: bool, here: Environment) -> Rerun:
    outcome = told.outcome
    on_test = runs[0].test is not None
    expected = None
    if outcome is not None and on_test and outcome.test is not None:
        expected = outcome.test.accuracy
    elif outcome is not None and not on_test and outcome.validation is not None:
        expected = outcome.validation.accuracy
    scores = [r.accuracy for r in runs]
    return Rerun(
        recipe=str(path),
        data=found.root,
        same_data=same,
        same_machine=outcome is not None and environment.same_kind(outcome.environment, here),
        measured_on="test" if on_test else "validation",
        expected=expected if same else None,
        expected_sha256=outcome.weights_sha256 if outcome is not None else None,
        runs=runs,
        mean=statistics.fmean(scores),
        std=statistics.stdev(scores) if len(scores) > 1 else None,
        environment=here,
    )
