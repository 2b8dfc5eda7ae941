"""A distillation as a run: the student is trained with and without its teacher, and both are scored on the locked test.

In: a finished run, a student, unlabelled images or none. Out: a run directory as any other, whose result states the gain over
plain training. Nothing is chosen by a score: the taught student is the one that is kept. What the scores are worth:
the teacher never saw the locked test, so neither did its answers. It did see the images of every validation fold, and its
answers on training images carry a little of that; so the taught student's validation score, which fits the temperature and
the decision rule, can look better than it is, and is compared with nothing.
Does NOT cover: rerunning its recipe (`rerun`), which needs no teacher.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from advisor import registry
from advisor.data import subsample
from advisor.data.domains import Target
from advisor.data.remote import urls
from advisor.data.splits import split_list_sha256
from advisor.errors import InputError, RecipeError, TrialError
from advisor.execution.worker import Worker, open_job
from advisor.models.predictor import Predictor
from advisor.records import Candidate, Dataset, Profile, Result, Settings, Trial, recipe_file
from advisor.records.messages import Refit, Refitted, RunTrial, Score, Scored
from advisor.records.recipe import Recipe
from advisor.registry import Registry
from advisor.runtime import device
from advisor.runtime.progress import Listener
from advisor.runtime.run_dir import RunDir
from advisor.training import soft_answers
from advisor.workflows import rerun, session
from advisor.workflows.distillation import distilled_output, student, teacher, unlabelled
from advisor.workflows.distillation.student import Student
from advisor.workflows.finished import recorded_data
from advisor.workflows.rerun_output import Retrained

PLAIN_FOLDER = "plain"  # in trials/, of the student without a teacher


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A finished run's data and model, and the unlabelled images of the call."""

    run: Path
    recipe: Recipe
    settings: Settings
    dataset: Dataset
    profile: Profile
    sample: subsample.Subsample
    plugins: Registry
    teacher: Predictor
    target: Target | None


def distil(
    run: Path,
    *,
    out: Path,
    settings: Settings,
    images: Path | None = None,
    data: Path | None = None,
    overrides: Sequence[str] = (),
    listener: Listener | None = None,
) -> Result:
    """Train a student of a run's model and write it into the folder `out`; return its result.

    `settings` are those of the student: network, limits, input size, seed, device. `images` is a folder of unlabelled images,
    `data` where the run's own data are now, `overrides` are NAME=VALUE. Raises InputError where there is no model, or the
    classes differ; RecipeError where the data are not those of the run; TrialError where training fails.
    """
    began_s = time.monotonic()
    listener = listener or Listener()
    opened = _open(run, settings, images, data, listener)
    rundir = RunDir.create(out, data=urls.public_path(opened.settings.data))
    with ExitStack() as stack:
        stack.enter_context(rundir.filled())
        worker = Worker(log=str(out / "worker.log"))
        stack.callback(worker.stop)
        job = open_job(opened.settings, out, opened.dataset, opened.sample.pool, folds=opened.recipe.validation.folds)
        environment = worker.open(job, listener.progress).environment
        backbone, size_px, costs = student.choose(
            opened.settings, opened.dataset, opened.profile, opened.plugins, worker, rundir, listener
        )
        pupil = student.make(
            backbone,
            size_px,
            opened.teacher.fit,
            [item.label for item in opened.sample.pool],
            len(opened.dataset.classes),
            worker,
            opened.plugins,
            environment.device,
            unlabelled=opened.target is not None,
            overrides=session.parse_parameters(opened.plugins.strategy(student.STRATEGY), overrides),
        )
        digest = _ask_teacher(opened, pupil, out, listener)
        job = replace(job, answers=str(out / teacher.FILE))
        if opened.target is not None:
            job = replace(job, target_root=opened.target.root, target_items=opened.target.items)
        worker.open(job, listener.progress)
        taught, plain = _train_both(opened, pupil, worker, out, listener)
        facts = distilled_output.Facts(
            environment=environment, answers_sha256=digest, costs=costs, used_s=time.monotonic() - began_s
        )
        return distilled_output.write(out, opened, worker, taught, plain, facts, listener)


def _open(run: Path, settings: Settings, images: Path | None, data: Path | None, listener: Listener) -> Opened:
    recipe = recipe_file.read(run)
    if recipe.target is not None:
        raise InputError(
            f"{run}: a model adapted to a target cannot be a teacher.", hint="Name a run on labelled images."
        )
    listener.stage("reading the data")
    plugins = registry.load(block=settings.plugins_blocked)
    folder = run if run.is_dir() else run.parent
    root = data or recorded_data.by_hint(recipe.data.path_hint, run, "data.path_hint", "--data")
    data_set, measured, same_data = recorded_data.read_data(
        recipe, run, root, None, None, is_given=data is not None, offline=settings.offline
    )
    if not same_data or split_list_sha256(data_set) != recipe.data.split.list_sha256:
        raise RecipeError(
            f"data.fingerprint: {urls.public(root)} is not the data set of the run, "
            "whose model may have seen test images of it.",
            hint="Name its own data with --data, or train a run on these.",
        )
    model = teacher.load(folder, plugins, data_set)
    shared = rerun.settings_of(
        recipe, str(root), device=settings.device, weights_dir=settings.weights_dir, offline=settings.offline
    )
    settings = replace(
        settings, data=str(root), reading=shared.reading, test_split=shared.test_split, budget_s=None, trials=1
    )
    sample = subsample.draw(data_set, recipe.data.pool_sample, recipe.data.test_sample)
    target = unlabelled.read(images, data_set, model.rule, listener) if images is not None else None
    return Opened(
        run=folder,
        recipe=recipe,
        settings=settings,
        dataset=data_set,
        profile=measured,
        sample=sample,
        plugins=plugins,
        teacher=model,
        target=target,
    )


def _ask_teacher(opened: Opened, pupil: Student, out: Path, listener: Listener) -> str:
    """Write the teacher's answers into the run; return the hash of the file."""
    listener.stage(f"asking the teacher ({opened.teacher.classifier.backbone.name} at {opened.teacher.size_px} px)")
    compute = device.choose(opened.settings.device, opened.teacher.classifier.backbone)
    answers = teacher.answer(
        opened.teacher,
        opened.dataset,
        opened.sample.pool,
        opened.target,
        pupil.plan,
        view_seed=opened.settings.seed,
        compute=compute,
        listener=listener,
    )
    return soft_answers.write(out / teacher.FILE, answers)


def _train_both(
    opened: Opened, pupil: Student, worker: Worker, out: Path, listener: Listener
) -> tuple[Retrained, Retrained]:
    """Train the student with and without its teacher, and score both on the locked test, where there is one."""
    made = []
    arms = ((pupil.taught, out, "with its teacher"), (pupil.plain, out / "trials" / PLAIN_FOLDER, "without a teacher"))
    for number, (candidate, folder, how) in enumerate(arms):
        listener.stage(f"training the student {how}")
        trial = _validate(worker, candidate, number, opened, listener)
        job = Refit(
            candidate=candidate,
            seed=opened.settings.seed,
            to=str(folder),
            temperature=trial.temperature,
            status="final",
        )
        made.append((trial, worker.ask(job, Refitted, listener.progress)))
    scored: Scored | None = None
    if opened.sample.test:
        listener.stage(f"evaluating both on the held-out test set once ({len(opened.sample.test):,} images)")
        folders = tuple(str(folder) for _, folder, _ in arms)
        score = Score(folders=folders, items=opened.sample.test, predictions=str(out / "trials" / "test.npz"))
        scored = worker.ask(score, Scored, listener.progress)
    taught, plain = (Retrained(trial=trial, refitted=refitted, scored=scored) for trial, refitted in made)
    return taught, plain


def _validate(worker: Worker, candidate: Candidate, number: int, opened: Opened, listener: Listener) -> Trial:
    job = RunTrial(
        number=number,
        candidate=candidate,
        folds=opened.recipe.validation.scored[:1] or (0,),
        repeat=0,
        seed=opened.settings.seed,
        started_s=0.0,
    )
    trial = worker.ask(job, Trial, listener.progress)
    if trial.state != "complete":
        raise TrialError(f"training the student failed: {trial.error}.", hint="Try a lower rate: --set adam_rate=1e-4.")
    return trial
