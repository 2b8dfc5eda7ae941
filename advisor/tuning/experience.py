"""Finished runs -> `Experience`: what every strategy made of its network's probe there, as the search's predictor sees it.

In: folders that hold run directories, at any depth. Out: mean lifts with the number of runs, and a hash of what was read. Runs
decided by another objective, and those whose study is in a database, are not read. Does NOT cover: what is made of it
(`expected_loss`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from advisor.errors import InputError
from advisor.records import Experience, ExperienceUse, LiftReading, Settings, Trial
from advisor.records.trials import RegimeName
from advisor.runtime import json_records
from advisor.runtime.run_dir import RunDir
from advisor.tuning import expected_loss
from advisor.tuning.candidates import BackboneAtSize
from advisor.tuning.trials.study import Study

Key = tuple[str, str, RegimeName]  # backbone, strategy, its regime
RESULT, PROBES, STUDY, CALL = "result.json", "probes.json", "study.db", "run.json"
WRITTEN = "experience.json"  # in the run that learned


def of_run(settings: Settings, rundir: RunDir) -> Experience:
    """Return what a run learns from: as an earlier process of it read it, else read now and written down.

    Raises InputError as `read` does.
    """
    if not settings.experience:
        return Experience()
    learned = rundir.read(WRITTEN, Experience)
    if learned is None:
        learned = read(settings.experience)
        rundir.write(WRITTEN, learned)
    return learned


def use(experience: Experience) -> ExperienceUse | None:
    """Return what recipe and result state: how many runs, and which; None if there are none."""
    return ExperienceUse(runs=experience.runs, sha256=experience.sha256) if experience.runs else None


def read(folders: Sequence[str]) -> Experience:
    """Read all finished runs in and below these folders, each once however often it is found.

    Raises InputError if a folder does not exist or holds no finished run.
    """
    runs: dict[str, Path] = {}
    for folder in folders:
        finished = _finished(Path(folder))
        if not finished:
            raise InputError(
                f"--experience {folder}: there is no finished run in or below it.",
                hint="Name a run directory, or a folder that holds some, such as tl-advise-runs.",
            )
        runs |= finished
    readable = {digest: own for digest in sorted(runs) if (own := _of_run(runs[digest])) is not None}
    if not readable:
        text = f"--experience {folders[0]}: no finished run of {len(runs)} can be read."
        raise InputError(text, hint="Their files are damaged: name other runs.")
    lifts: dict[Key, list[float]] = {}
    for own in readable.values():
        for what, lift in own.items():
            lifts.setdefault(what, []).append(lift)
    return Experience(
        runs=len(readable),
        sha256=hashlib.sha256("\n".join(readable).encode()).hexdigest(),
        readings=tuple(
            LiftReading(backbone=backbone, strategy=strategy, regime=regime, lift=_mean(own), runs=len(own))
            for (backbone, strategy, regime), own in sorted(lifts.items())
        ),
    )


def _finished(folder: Path) -> dict[str, Path]:
    """List the finished runs in and below a folder by the hash of their results. Raises InputError if it does not exist."""
    if not folder.is_dir():
        raise InputError(f"--experience {folder}: no such folder.", hint="Name a folder that holds finished runs.")
    results = {}
    for path in sorted(folder.rglob(RESULT)):
        if not path.is_file():
            continue
        run, text = path.parent, path.read_bytes()
        if _field(text, "status") != "final" or not all((run / name).is_file() for name in (PROBES, STUDY, CALL)):
            continue
        if _field((run / CALL).read_bytes(), "objective") == "log_loss":
            results[hashlib.sha256(text).hexdigest()] = run
    return results


def _field(text: bytes, name: str) -> Any:
    """Return a field of a JSON object; None where the file is none, so that a damaged one is no run."""
    try:
        return json_records.plain(text).get(name)
    except (ValueError, AttributeError):
        return None


def _of_run(run: Path) -> dict[Key, float] | None:
    """Return the mean lift of every strategy on every network in one run; None where its files cannot be read."""
    try:
        probes = json_records.decode((run / PROBES).read_bytes(), list[Trial])
        trials = Study(run / STUDY, 0).trials()
    except (msgspec.MsgspecError, InputError):  # damaged, or from elsewhere: the others teach all the same
        return None
    lifts: dict[Key, list[float]] = {}
    for trial in trials:
        lift = _lift(trial, probes)
        if lift is not None:
            lifts.setdefault((trial.candidate.backbone, trial.candidate.strategy, trial.regime), []).append(lift)
    return {what: _mean(own) for what, own in lifts.items()}


def _lift(trial: Trial, probes: Sequence[Trial]) -> float | None:
    """Return the logarithm of a trial's log-loss over its probe's, moved to the table's length; None where there is none."""
    floor = expected_loss.start_losses(probes, trial.candidate, trial.steps).get(BackboneAtSize.of(trial.candidate))
    if trial.state != "complete" or not floor or not 0 < trial.log_loss < math.inf:
        return None
    prior = math.log(expected_loss.prior_lift(trial.candidate.strategy, trial.regime))
    return math.log(trial.log_loss / floor) + prior * (1.0 - expected_loss.length(trial.steps))


def _mean(values: Iterable[float]) -> float:
    own = list(values)
    return sum(own) / len(own)
