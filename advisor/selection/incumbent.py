"""The best trial so far, on disk: a provisional recipe with its model and result, replaced by every better one.

In: a trial that is better than all before it. Out: recipe.yaml (`status: provisional`, no test score), model, result.json.
A closed-form head is refitted on the whole pool; of a trained candidate the mean of its fold models is used, or the first.
Does NOT cover: the final recipe (`run_end`).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from advisor.errors import AdviseError, InputError
from advisor.execution.worker import Worker
from advisor.records import Trial, recipe_file
from advisor.records.messages import Refit, Refitted
from advisor.runtime.atomic_file import to_json, write_atomically
from advisor.runtime.run_dir import MIXED, RunDir
from advisor.selection import objective_decision, result_builder
from advisor.tuning import cost_model, policy
from advisor.tuning.faults import fault
from advisor.tuning.search_run import SearchRun

MODEL = ("model.safetensors", "model.json")


@dataclass(frozen=True, kw_only=True)
class IncumbentWriter:
    """Writes the best trial so far into the run directory."""

    frame: result_builder.RunContext
    rundir: RunDir

    def update(self, run: SearchRun, trial: Trial) -> None:
        """Write the best trial so far, unless refitting it takes a considerable part of the time left."""
        if run.facts.has_deadline and self.rundir.recipe.exists() and not run.facts.trains_backbone(trial.candidate):
            state = run.state()
            if cost_model.train_s(state, trial.candidate, state.images) > policy.INCUMBENT_REFIT_SHARE * state.left_s:
                return
        named = replace(self, frame=with_faults(self.frame, run.faults))
        named.write(run.worker, trial, run.study.trials(), run.clock.used_s)
        run.listener.kept(trial)

    def write(self, worker: Worker, trial: Trial, trials: Sequence[Trial], used_s: float) -> None:
        """Replace recipe, model and result by a trial's, marked as provisional; `worker` refits a head."""
        staged = self.rundir.staging("best")
        refitted = self._fit_model(worker, trial, staged)
        if refitted is None:
            return
        made = result_builder.make_recipe(self.frame, "provisional", trial, refitted, None)
        write_atomically(staged / "recipe.yaml", recipe_file.write(made, command=self.frame.settings.command))
        ending = result_builder.SearchOutcome(
            regime=self.frame.regime,
            winner=trial,
            trials=trials,
            used_s=used_s,
            test_reason="the search has not ended: the test set is evaluated once, at the end",
            objective=objective_decision.score_validation(self.rundir.path, trial, self.frame.objective),
        )
        files = {"recipe": "recipe.yaml", "model": "model.safetensors", "report": None}
        write_atomically(
            staged / "result.json", to_json(result_builder.make_result(self.frame, "provisional", ending, files))
        )
        self.rundir.adopt(staged)
        shutil.rmtree(staged, ignore_errors=True)

    def _fit_model(self, worker: Worker, trial: Trial, staged: Path) -> Refitted | None:
        if trial.steps:
            return self._copy_fold_model(trial, staged)
        job = Refit(
            candidate=trial.candidate,
            seed=self.frame.settings.seed,
            to=str(staged),
            temperature=trial.temperature,
            status="provisional",
        )
        try:
            return worker.ask(job, Refitted)
        except AdviseError as error:
            self.rundir.log("not kept", at_s=0.0, number=trial.number, error=str(error))
            return None

    def _copy_fold_model(self, trial: Trial, staged: Path) -> Refitted | None:
        fold_folder = fold_model_folder(self.rundir.path, trial)
        if fold_folder is None:
            return None  # its process was killed before the model was complete; the next better trial is written
        for name in MODEL:
            shutil.copyfile(fold_folder / name, staged / name)
        return read_refitted(fold_folder)


def with_faults(frame: result_builder.RunContext, faults: Sequence[fault.Fault]) -> result_builder.RunContext:
    """Return what results share, with the networks and strategies that were left out because they failed."""
    left_out = (*frame.left_out, *fault.rows(faults))
    return replace(frame, left_out=left_out, warnings=(*frame.warnings, *fault.warnings(faults)))


def fold_model_folder(run_dir: Path, trial: Trial) -> Path | None:
    """Return the folder of a trial's complete fold model: the mean of all folds, else the first fold's; None if neither."""
    if not trial.steps:
        return None
    first = run_dir / trial.predictions.removesuffix(".npz")
    names = ("refitted.json", *MODEL)
    return next((f for f in (first / MIXED, first) if all((f / name).is_file() for name in names)), None)


def read_refitted(folder: Path) -> Refitted:
    """Read the record of how the model in a folder was trained. Raises InputError where it is missing or damaged."""
    refitted = RunDir(folder).read("refitted.json", Refitted)
    if refitted is None:
        raise InputError(
            f"{folder / 'refitted.json'} is missing.", hint="Copy the whole run again, or start a new one."
        )
    return refitted
