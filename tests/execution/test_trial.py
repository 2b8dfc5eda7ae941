"""One trial at a time: what it leaves on disk, and that its record survives the study."""

from __future__ import annotations

import pickle
import resource
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import torch
from short_trials import order, twelve_crops

from advisor.errors import DivergedError, OutOfMemoryError, OutputError, TooSlowError
from advisor.execution import refit, timing, trainer, trial
from advisor.execution.resources import Resources
from advisor.records import Candidate, Trial
from advisor.records.messages import Refit, RunTrial
from advisor.training import loop


@pytest.fixture
def resources(tmp_path: Path) -> Resources:
    """Twelve crops in two classes, opened as a worker does."""
    return twelve_crops(tmp_path)


def test_a_training_of_one_step_can_be_written_down_and_read_back(resources: Resources) -> None:
    """Between its rungs it takes no step and has no loss; JSON knows no nan, and an unreadable record ends a search."""
    done = trial.run(resources, order(resources, 1), lambda progress: None)
    assert (done.state, done.steps) == ("complete", 1)
    assert msgspec.json.decode(msgspec.json.encode(done), type=Trial) == done


def test_a_training_whose_loss_is_rarely_read_can_be_written_down_and_read_back(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU the loss is read every 16 steps; a rung before that has a mean all the same, of the losses that were read."""
    job = order(resources, 20)
    every = trial.run(resources, job, lambda progress: None)
    monkeypatch.setattr(trainer, "train_loop", partial(trainer.train_loop, read_every=loop.LOSS_READ_EVERY))
    done = trial.run(resources, replace(job, number=1), lambda progress: None)
    assert (done.state, done.scores) == ("complete", every.scores)
    assert np.isfinite(done.curve.train_loss).all()
    assert len(done.curve.train_loss) == 3
    assert done.curve.train_loss != every.curve.train_loss
    assert msgspec.json.decode(msgspec.json.encode(done), type=Trial) == done


def test_outputs_that_are_not_finite_end_a_trial_at_the_rung_where_they_are_seen(resources: Resources) -> None:
    """They have no loss that could be compared with another's or written down."""
    job = order(resources, 6)
    rates = {**job.candidate.parameters, "adam_rate": 1e30}
    scored: list[int] = []
    done = trial.run(
        resources,
        replace(job, candidate=replace(job.candidate, parameters=rates)),
        lambda progress: scored.append(progress.done),
    )
    assert (done.state, done.failure_kind, scored) == ("failed", "diverged", [])
    assert "outputs are not finite" in done.error


def test_what_a_refit_answers_can_be_sent(resources: Resources, tmp_path: Path) -> None:
    """The answer holds the plan of a training, and crosses a pipe between two processes."""
    candidate = order(resources, 1).candidate
    job = Refit(candidate=candidate, seed=0, to=str(tmp_path / "model"), temperature=1.0)
    refitted = refit.refit(resources, job, lambda progress: None)
    assert refitted.plan.phases
    assert pickle.loads(pickle.dumps(refitted)) == refitted


def test_a_paused_trial_that_is_promoted_ends_like_one_that_was_never_paused(resources: Resources) -> None:
    """Promotion goes on from the checkpoint; where that is missing it trains again, to the same result."""
    trials = Path(resources.job.run_dir) / "trials"
    whole = trial.run(resources, order(resources, 6), lambda progress: None)
    stopped = trial.run(resources, replace(order(resources, 6, stop_above={66: -1.0}), number=1), lambda progress: None)
    assert stopped.state == "pruned"
    assert (trials / "00001.ckpt").is_file()
    for number in (2, 3):  # the second time the checkpoint is gone
        job = order(resources, 6)
        job = replace(job, number=number, candidate=replace(job.candidate, continues=1))
        promoted = trial.run(resources, job, lambda progress: None)
        assert (promoted.scores, promoted.curve) == (whole.scores, whole.curve)
        assert promoted.continues == 1
        assert not list(trials.glob("*.ckpt"))


def test_a_trial_pauses_in_its_first_fold_alone(resources: Resources) -> None:
    """The thresholds are medians of losses on that fold: another fold's images may be harder for every trial."""
    job = replace(order(resources, 6), folds=(0, 1))
    whole = trial.run(resources, job, lambda progress: None)
    other = trial.run(resources, replace(job, folds=(1,), number=1), lambda progress: None)
    limits = {33: whole.curve.losses[0], 66: whole.curve.losses[1]}
    assert any(loss > limit for loss, limit in zip(other.curve.losses, limits.values(), strict=False))
    again = trial.run(resources, replace(job, number=2, stop_above=limits), lambda progress: None)
    assert (again.state, again.scores) == ("complete", whole.scores)


@pytest.mark.parametrize("damage", ["other start", "other plan", "list", "pickle", "cut", "empty", "noise"])
def test_a_checkpoint_that_cannot_be_used_counts_as_missing(
    resources: Resources, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A resume on another machine begins elsewhere in the last bits, a disk damages a file: the trial trains from step 0."""
    whole = trial.run(resources, order(resources, 6), lambda progress: None)
    trial.run(resources, replace(order(resources, 6, stop_above={66: -1.0}), number=1), lambda progress: None)
    path = Path(resources.job.run_dir) / "trials" / "00001.ckpt"
    _damage(path, damage)
    trained = trial.run(resources, replace(order(resources, 6), number=1), lambda progress: None)
    assert (trained.state, trained.error) == ("complete", "")
    assert (trained.scores, trained.curve) == (whole.scores, whole.curve)
    assert "00001.ckpt: not used, trained again from step 0" in capfd.readouterr().err
    assert not path.exists()


def _damage(path: Path, damage: str) -> None:
    state, content = torch.load(path, weights_only=True), path.read_bytes()
    if damage == "other start":
        torch.save({**state, "loop": {**state["loop"], "origin": "0" * 64}}, path)
    elif damage == "other plan":
        torch.save({**state, "loop": {**state["loop"], "optimizer": {"state": {}, "param_groups": []}}}, path)
    elif damage == "list":
        torch.save([1], path)
    else:
        broken = {"pickle": pickle.dumps({"a": 1})[:-1], "cut": content[: len(content) // 2], "empty": b""}
        path.write_bytes(broken.get(damage, bytes(range(256)) * 9))


def test_short_trainings_are_scored_at_their_end_alone(resources: Resources) -> None:
    """Looks on the way cost less than a tenth of the training, counted in passes: none where it is short."""
    for epochs, looks in ((1.0, 1), (40.0, 3)):
        candidate = Candidate(backbone="pocket", strategy="full", parameters={"epochs": epochs, "batch": 8}, size_px=32)
        job = RunTrial(number=90 + looks, candidate=candidate, folds=(0,), repeat=0, seed=0, started_s=0.0)
        done = trial.attempt(resources, job, lambda progress: None)
        assert done.state == "complete", done.error
        assert len(done.curve.log_loss) == looks
        spent = sum(s.n for s in done.scores) * (looks - 1)
        assert spent <= 0.1 * 3 * done.steps * 8


def test_a_trial_that_cannot_end_on_all_folds_stands_on_those_that_ended(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is over after the first fold: its score and its model are kept, and nothing waits for the others."""
    done = trial.run(resources, replace(order(resources, 2), folds=(0, 1, 2), number=5), lambda progress: None)
    assert [s.fold for s in done.scores] == [0, 1, 2]
    monkeypatch.setattr(timing, "LOOKED_AT", 10**9)  # the first fold's own steps do not look at the clock
    job = replace(order(resources, 2, limit_s=1.0), folds=(0, 1, 2), number=6)
    monkeypatch.setattr(timing.Deadline, "left_s", property(lambda self: -1.0))
    late = trial.run(resources, job, lambda progress: None)
    assert (late.state, [s.fold for s in late.scores]) == ("complete", [0])
    assert late.scores[0].accuracy == done.scores[0].accuracy
    trials = Path(resources.job.run_dir) / "trials"
    assert not list(trials.glob("*.ckpt"))
    assert (trials / "00006" / "model.safetensors").is_file()
    assert not (trials / "00006" / "mixed").exists()


def test_a_fold_that_is_seen_to_be_late_costs_that_fold_alone(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second fold's own steps turn out slow: the first fold's score stands; in the first fold it is a failure."""
    done = {0: 0}

    def late_in(fold: int) -> None:
        def steps(*anything: object, **more: object) -> float:
            done[0] += 1
            if done[0] > fold:
                raise TooSlowError("too slow", needs_s=1.0)
            return through(*anything, **more)  # type: ignore[arg-type]

        done[0] = 0
        monkeypatch.setattr(timing, "steps_until", steps)

    through = timing.steps_until
    job = replace(order(resources, 2, limit_s=1e6), folds=(0, 1), number=7)
    late_in(1)
    ended = trial.run(resources, job, lambda progress: None)
    assert (ended.state, [s.fold for s in ended.scores]) == ("complete", [0])
    late_in(0)
    ended = trial.run(resources, replace(job, number=8), lambda progress: None)
    assert (ended.state, ended.needs_s) == ("failed", 1.0)


def test_a_head_that_outlasts_its_time_is_given_up(resources: Resources) -> None:
    """Fitting has no steps that could be counted before: it is ended on the way, so that the end of a budget is kept."""
    strategy = resources.registry.strategy("logistic")
    context = resources.context(resources.registry.backbone("pocket"), resources.folds()[0][0], 32)
    candidate = Candidate(
        backbone="pocket", strategy="logistic", parameters=dict(strategy.first_guesses(context)[0]), size_px=32
    )
    job = RunTrial(number=0, candidate=candidate, folds=(0, 1, 2), repeat=0, seed=0, started_s=0.0, limit_s=1e-6)
    late = trial.run(resources, job, lambda progress: None)
    assert (late.state, late.error) == ("failed", "takes longer than the time that is left for it")
    assert trial.run(resources, replace(job, limit_s=600.0), lambda progress: None).state == "complete"


def test_what_a_trial_failed_of_is_a_kind_and_memory_alone_is_tried_again(resources: Resources) -> None:
    """No word of an error decides: out of memory halves the batch once, whatever the message says."""
    job = order(resources, 1)
    job = replace(job, candidate=replace(job.candidate, parameters={**job.candidate.parameters, "batch": 8}))
    batches: list[int] = []

    def failing(error: Exception) -> trial.Attempt:
        def once(resources: Resources, job: RunTrial, emit: object) -> Trial:
            batches.append(job.candidate.parameters["batch"])
            return trial.failed(resources, job, error)

        return once

    reasons: list[tuple[Exception, str, list[int]]] = [
        (OutOfMemoryError("the device is full"), "out_of_memory", [8, 4]),
        (MemoryError(), "out_of_memory", [8, 4]),
        (DivergedError("out of memory? no: the loss is nan"), "diverged", [8]),
        (TooSlowError("late", needs_s=3.0), "too_slow", [8]),
        (ValueError("out of memory"), "other", [8]),
    ]
    for error, kind, tried in reasons:
        batches.clear()
        ended = trial.run(resources, job, lambda progress: None, once=failing(error))
        assert (ended.failure_kind, batches) == (kind, tried)
        assert ended.needs_s == (3.0 if kind == "too_slow" else 0.0)


@pytest.mark.parametrize(
    ("limit_s", "batch", "lefts"),
    [(60.0, 8, [60.0, 40.0]), (15.0, 8, [15.0]), (None, 8, [None, None]), (60.0, "all", [60.0])],
)
def test_a_second_try_has_what_the_first_one_left_of_the_limit(
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
    limit_s: float | None,
    batch: object,
    lefts: list[float | None],
) -> None:
    """Out of memory after 20 s costs 20 s: where no more was allowed, or no smaller batch is legal, there is no second try."""
    job = order(resources, 1)
    parameters = {**job.candidate.parameters, "batch": batch}
    job = replace(job, candidate=replace(job.candidate, parameters=parameters), limit_s=limit_s)
    moments, limits = iter((100.0, 120.0, 150.0)), []

    def once(resources: Resources, job: RunTrial, emit: object) -> Trial:
        limits.append(job.limit_s)
        return trial.failed(resources, job, OutOfMemoryError("the device is full"))

    monkeypatch.setattr(trial, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    assert trial.run(resources, job, lambda progress: None, once=once).failure_kind == "out_of_memory"
    assert limits == lefts


def test_folds_that_do_not_exist_are_left_out(resources: Resources) -> None:
    """A few images make fewer folds than a search plans with; a trial is scored on those that there are."""
    job = replace(order(resources, 1), folds=tuple(range(len(resources.folds()) + 3)))
    done = trial.run(resources, job, lambda progress: None)
    assert done.state == "complete", done.error
    assert [score.fold for score in done.scores] == list(range(len(resources.folds())))


@pytest.mark.parametrize("strategy", ["partial", "ridge"])
def test_a_full_disk_is_no_failure_of_a_trial(resources: Resources, strategy: str) -> None:
    """Every trial would fail on it, for a reason that is gone when the run goes on; a training leaves a model too."""
    job = order(resources, 1)
    if strategy == "ridge":
        job = replace(job, candidate=Candidate(backbone="pocket", strategy="ridge", parameters={}, size_px=32))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises((OutputError, OSError), match="File too large"):
            trial.run(resources, job, lambda progress: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def wise(resources: Resources, folds: tuple[int, ...], **more: object) -> dict[int, np.ndarray]:
    """Return the logits by row of a full fine-tuning whose share of the tuned weights is chosen on validation images."""
    candidate = Candidate(
        backbone="pocket", strategy="wise_ft", parameters={"epochs": 4, "adam_rate": 3e-4}, size_px=32
    )
    job = RunTrial(number=0, candidate=candidate, folds=folds, repeat=0, seed=0, started_s=0.0, **more)  # type: ignore[arg-type]
    done = trial.run(resources, job, lambda progress: None)
    assert done.fitted == {"alpha": 0.0}
    saved = np.load(Path(resources.job.run_dir) / done.predictions)
    return dict(zip(saved["rows"].tolist(), saved["logits"], strict=True))


def test_every_fold_is_scored_with_the_finish_that_ships(resources: Resources) -> None:
    """The first fold chooses the share for the others; one of them would choose otherwise, as recipes of that time say."""
    logits = wise(resources, (0, 1))
    given = wise(resources, (1,), fitted={"alpha": 0.0})
    assert all(np.array_equal(logits[row], values) for row, values in given.items())
    resources.job = replace(resources.job, procedure=1)
    earlier = wise(resources, (0, 1))
    assert sorted(earlier) == sorted(logits)
    assert [np.array_equal(earlier[row], logits[row]) for row in logits] == [row not in given for row in logits]
