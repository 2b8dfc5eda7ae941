"""An ensemble of networks: on few images the mean of their probabilities is offered beside the single model.

In: a run whose leaders were re-evaluated, the winner. Out: the members, chosen on validation data and frozen with the
candidates; then their models in `ensemble/`, before the test set is read. There is none if all other networks are far
behind or no time is left after the winner's own refit. Does NOT cover: predicting (`models.ensemble_predictor`).
Source: the mean of several networks' outputs, Hansen & Salamon 1990 (doi 10.1109/34.58871); which members, and how many:
docs/advice.md, "How wide is a tie?".
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.aliases import Float64s
from advisor.errors import AdviseError
from advisor.metrics import classification, objectives
from advisor.metrics.objectives import held_out
from advisor.models import model_files
from advisor.records import Ensemble, EnsembleValidation, Trial
from advisor.records.messages import Scored
from advisor.records.objective import DecisionRule, ObjectiveSpec
from advisor.runtime import stored_arrays
from advisor.runtime.atomic_file import remove_folder
from advisor.selection import final_models, objective_decision, result_builder
from advisor.selection.incumbent import fold_model_folder
from advisor.tuning import cost_model, policy
from advisor.tuning.search_run import SearchRun

RIVALS = 8  # networks that are asked, best first
AS_MEMBER = "it joins the ensemble as the search left it"


@dataclass(frozen=True, kw_only=True)
class EnsembleChoice:
    """The members of the ensemble, the winner first, and the validation scores of their mean."""

    members: tuple[Trial, ...]
    validation: EnsembleValidation
    rule: DecisionRule = DecisionRule()  # what the objective asks for, on the mean of their out-of-fold probabilities


def choose(run: SearchRun, winner: Trial, contenders: Sequence[Trial]) -> EnsembleChoice | None:
    """Add to the winner the best contenders of other networks, as many as the time allows; None if there is none.

    They are those that can take the winner's squares (`SearchState.rivals_of`), so that one image is decoded once for all.
    Where not all of them fit, the most expensive one gives way, to what comes next of its network or of the others.
    """
    if run.facts.images >= policy.ENSEMBLE_IMAGES or run.facts.costs.limited:
        return None  # under a limit, several graphs would break what one of them keeps
    state, by_number = run.state(), {t.number: t for t in contenders}
    excluded = {t.number for t in state.contenders() if t.number not in by_number or not _joins(run, t)}
    too_dear: EnsembleChoice | None = None
    while True:
        rivals = [by_number[t.number] for t in state.rivals_of(winner.candidate, excluded)]
        chosen = choose_by_predictions(run.rundir.path, winner, rivals, run.facts.images, run.facts.objective)
        if chosen is None and too_dear is not None:
            needed_s = _finish_s(run, too_dear)
            run.listener.note(
                f"no ensemble: with another network the end of the run needs about {needed_s:.0f} s, "
                f"and {max(run.clock.left_s, 0.0):.0f} s are left"
            )
        if chosen is None or not run.facts.has_deadline or _finish_s(run, chosen) <= run.clock.left_s:
            return chosen
        too_dear = chosen
        dearest = max(chosen.members[1:], key=lambda t: cost_model.test_scoring_s(state, [t.candidate]))
        excluded.add(dearest.number)


def _joins(run: SearchRun, trial: Trial) -> bool:
    """Return False for a trained candidate that would have to be refitted before the deadline."""
    trained = run.facts.has_deadline and run.facts.trains_backbone(trial.candidate)
    return not trained or fold_model_folder(run.rundir.path, trial) is not None


def choose_by_predictions(
    run_dir: Path, winner: Trial, rivals: Sequence[Trial], pool: int, objective: ObjectiveSpec | None = None
) -> EnsembleChoice | None:
    """Choose members among the rivals, best first, by their saved validation logits; None if none of them joins.

    Means with and without a rival are compared on the images that all members were scored on.
    """
    spec = objective or ObjectiveSpec()
    predictions = {t.number: _predictions(run_dir, t, pool) for t in (winner, *rivals)}
    labels = predictions[winner.number][1]
    members = [winner]
    for rival in rivals[:RIVALS]:
        each = [predictions[t.number][0] for t in (*members, rival)]
        rows = _scored_by_all(each)
        if len(rows) and _loss(spec, each, labels, rows) <= (1.0 + policy.ENSEMBLE_TOLERANCE) * min(
            _loss(spec, each[:1], labels, rows), _loss(spec, each[:-1], labels, rows)
        ):
            members.append(rival)
        if len(members) == policy.ENSEMBLE_MEMBERS:
            break
    if len(members) < 2:
        return None
    each = [predictions[t.number][0] for t in members]
    rows = _scored_by_all(each)
    mean, single, truth = _mean([p[rows] for p in each]), each[0][rows], labels[rows]
    return EnsembleChoice(
        members=tuple(members),
        validation=EnsembleValidation(
            accuracy=float((mean.argmax(1) == truth).mean()),
            single_accuracy=float((single.argmax(1) == truth).mean()),
            log_loss=_log_loss(mean, truth),
            single_log_loss=_log_loss(single, truth),
            n=len(truth),
        ),
        rule=objectives.make(spec).rule(mean, truth),
    )


def _scored_by_all(each: Sequence[Float64s]) -> npt.NDArray[np.int64]:
    return np.flatnonzero(np.all([~np.isnan(p).any(axis=1) for p in each], axis=0))


def _loss(
    spec: ObjectiveSpec, each: Sequence[Float64s], labels: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]
) -> float:
    """Return of the mean of these probabilities, on these images, what the objective asks to be low."""
    mean = _mean([p[rows] for p in each])
    if spec.name == "log_loss":
        return _log_loss(mean, labels[rows])
    return float(held_out.of_probabilities(spec, mean, labels[rows]).mean())


def train(run: SearchRun, chosen: EnsembleChoice | None, winner: Path) -> Path | None:
    """Train the members and write them into `ensemble/`; return that folder, None without an ensemble.

    Heads are fitted on the whole pool. A trained member is refitted on it only where there is no deadline; otherwise the model
    of its folds takes its place, since a refit would cost more than all other members together.

    `winner` is the folder with the winner's own model. After the test set was read nothing is added any more.
    """
    ensemble_folder = run.rundir.path / model_files.ENSEMBLE_FOLDER
    if chosen is None or not (
        (ensemble_folder / model_files.ENSEMBLE).is_file() or not (run.rundir.path / "test.json").is_file()
    ):
        return None
    folders = [winner, *(run.rundir.trials / f"final-member-{n}" for n in range(1, len(chosen.members)))]
    if not (ensemble_folder / model_files.ENSEMBLE).is_file():
        reserve_s = _scoring_s(run, chosen)
        for trial, folder in zip(chosen.members[1:], folders[1:], strict=True):
            if not _train_member(run, trial, folder, reserve_s):
                return None
        if run.facts.has_deadline and run.clock.left_s < _scoring_s(run, chosen):
            run.listener.note("no ensemble: the time left is needed for the test")
            return None
        staged = run.rundir.staging("ensemble")
        model_files.write_ensemble(staged, folders, _description(chosen))
        remove_folder(ensemble_folder)
        os.replace(staged, ensemble_folder)
    return ensemble_folder


def withdraw(run: SearchRun, folder: Path) -> None:
    """Remove an ensemble that there was no time to score: what is offered has a test score."""
    run.listener.note("no ensemble: the time left was needed to evaluate all test images")
    remove_folder(folder)


def _scoring_s(run: SearchRun, chosen: EnsembleChoice) -> float:
    """Predict the seconds of the run's end with the ensemble: members and default score the test, and files are written."""
    state = run.state()
    default = () if state.default is None else (state.default.candidate,)
    scored = (*(t.candidate for t in chosen.members), *default)
    return cost_model.writing_s(state) + policy.FINISH_MARGIN * cost_model.test_scoring_s(state, scored)


def _description(chosen: EnsembleChoice) -> dict[str, Any]:
    decided = {} if chosen.rule == DecisionRule() else {"decision": asdict(chosen.rule)}
    return {"trials": [t.number for t in chosen.members], **decided}


def _train_member(run: SearchRun, trial: Trial, folder: Path, reserve_s: float) -> bool:
    """Train a member; return False if it fails or does not fit, which costs the ensemble, never the run.

    What was frozen is the mean of all members: a mean without this one was neither chosen nor scored on validation data.
    """
    as_it_is = run.facts.has_deadline and fold_model_folder(run.rundir.path, trial) is not None
    options: dict[str, Any] = {"allow_fold_model": as_it_is, "not_refitted": AS_MEMBER if as_it_is else ""}
    try:
        done = final_models.train(run, trial, folder, reserve_s=reserve_s, **options) is not None
    except AdviseError as error:
        done = False
        run.listener.note(str(error))
    if not done:
        run.listener.note(
            f"no ensemble: its member {trial.candidate.strategy} on {trial.candidate.backbone} has no model"
        )
    return done


def summarise(chosen: EnsembleChoice, scored: Scored | None, run_dir: Path) -> Ensemble:
    """Return the ensemble's scores beside the single model's, on the same images of the held-out test set."""
    scores = scored.ensemble if scored is not None else None
    over = None
    if scores is not None:
        saved = stored_arrays.read(run_dir / "trials" / "test.npz")
        right = saved["ensemble"].argmax(1) == saved["labels"]
        over = objective_decision.compare_on_test(
            right, saved["logits"][0].argmax(1) == saved["labels"], saved["groups"]
        )
    ensemble_folder = model_files.ENSEMBLE_FOLDER
    files = {f"model_{n}": f"{ensemble_folder}/model-{n}.safetensors" for n in range(len(chosen.members))}
    return Ensemble(
        members=tuple(result_builder.describe_tie(t) for t in chosen.members),
        validation=chosen.validation,
        test=scores,
        ece=scored.ensemble_ece if scored is not None else None,
        over_single=over.over_baseline if over else None,
        ci95=over.ci95 if over else None,
        beats_single=over.ci95[0] > 0.0 if over else None,
        files={"description": f"{ensemble_folder}/{model_files.ENSEMBLE}", **files},
    )


def _finish_s(run: SearchRun, chosen: EnsembleChoice) -> float:
    first, *others = [t.candidate for t in chosen.members]
    return cost_model.finish_s(run.state(), first, beside=others)


def _predictions(run_dir: Path, trial: Trial, pool: int) -> tuple[Float64s, npt.NDArray[np.int64]]:
    """Return calibrated probabilities (pool, K), nan where it was not scored, and the labels there, else -1.

    Only of the first repeat, which all trials have: a mean over repeats would itself be an ensemble.
    """
    saved = stored_arrays.read(run_dir / trial.predictions)
    rows, logits, labels = saved["rows"], saved["logits"].astype(np.float64), saved["labels"]
    probabilities, truth = np.full((pool, logits.shape[1]), np.nan), np.full(pool, -1, dtype=np.int64)
    probabilities[rows] = classification.probabilities(logits, temperature=trial.temperature)
    truth[rows] = labels
    return probabilities, truth


def _mean(each: Sequence[Float64s]) -> Float64s:
    mean: Float64s = np.mean(each, axis=0)
    return mean


def _log_loss(probabilities: Float64s, labels: npt.NDArray[np.int64]) -> float:
    scores = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(scores, 1e-12)).mean())
