"""From a finished search to the result; a network or strategy that fails on the way is left out, and the rest judged again.

In: a run whose search has ended. Out: the final result. Candidates are frozen anew only while no test score exists, so that
the test decides nothing. Does NOT cover: judging (`frozen_candidates`), refits, the test and the files (`run_end`).
"""

from __future__ import annotations

from dataclasses import replace

from advisor.errors import BackboneError, RefitError
from advisor.models import model_files
from advisor.records import Profile, Result
from advisor.runtime.atomic_file import remove_folder
from advisor.selection import frozen_candidates, incumbent, run_end
from advisor.tuning.faults import left_out
from advisor.tuning.search_run import SearchRun


def conclude(run: SearchRun, writer: incumbent.IncumbentWriter, profile: Profile) -> Result:
    """Judge, refit, test and write. Raises BackboneError or RefitError where one fails and nothing else was scored."""
    if not run.faults:
        left_out.read(run)
    while True:
        named = replace(writer, frame=incumbent.with_faults(writer.frame, run.faults))
        try:
            frozen = frozen_candidates.judge(run, named.frame)
            return run_end.compose(run, named, frozen, profile)
        except (BackboneError, RefitError) as error:
            if not _is_new(run, error) or (run.rundir.path / "test.json").exists():
                raise
            _discard_models(run)  # before it is written down what failed: a resume in between only meets it again
            if isinstance(error, RefitError):
                left_out.add_refit(run, error)
            else:
                left_out.add_network(run, error.backbone, error)
            if not run.state().contenders():
                raise


def _is_new(run: SearchRun, error: BackboneError | RefitError) -> bool:
    """Return True if what failed is still one of those that may win."""
    if isinstance(error, RefitError):
        return any(t.number == error.trial for t in run.state().contenders())
    return bool(error.backbone) and not run.is_left_out(error.backbone)


def _discard_models(run: SearchRun) -> None:
    """Remove what was trained of the frozen candidates."""
    for folder in (*run.rundir.trials.glob("final-*"), run.rundir.path / model_files.ENSEMBLE_FOLDER):
        remove_folder(folder)
