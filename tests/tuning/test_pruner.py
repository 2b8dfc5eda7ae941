"""Paused trials: who pauses, who is promoted, whose checkpoints stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from advisor.records import Candidate, Curve, FoldScore, Trial
from advisor.runtime.run_dir import RunDir
from advisor.tuning import policy, pruner


def ended(number: int, *losses: float, state: str = "complete", continues: int | None = None) -> Trial:
    """A trial that reached so many rungs."""
    candidate = Candidate(backbone="net", strategy="full", parameters={"number": number}, continues=continues)
    return Trial(
        number=number,
        candidate=candidate,
        regime="full",
        state=state,
        curve=Curve(step=tuple(range(len(losses))), log_loss=losses),
        predictions=f"trials/{number:05d}.npz",
    )


def begun(trials: list[Trial]) -> list[Candidate]:
    """The candidates of all trials."""
    return [t.candidate for t in trials]


def test_nobody_pauses_before_enough_trials_were_seen() -> None:
    """The median of three says little."""
    assert pruner.pause_thresholds([ended(n, 0.5, 0.4, 0.3) for n in range(3)], (33, 66)) == {}


def test_the_limit_of_a_rung_is_the_median_there() -> None:
    """Each rung has its own."""
    trials = [ended(n, 0.5 + n, 0.4 + n, 0.3 + n) for n in range(5)]
    assert pruner.pause_thresholds(trials, (33, 66)) == {33: 2.5, 66: 2.4}


def test_a_paused_trial_is_promoted_once_later_ones_are_worse() -> None:
    """It was above the median then and is below it now."""
    trials = [ended(n, 0.5, 0.4, 0.3) for n in range(4)]
    trials.append(ended(4, 0.6, state="pruned"))
    assert pruner.promotion(trials, begun(trials)) is None
    trials += [ended(n, 0.9, 0.8, 0.7) for n in range(5, 11)]
    chosen = pruner.promotion(trials, begun(trials))
    assert chosen is not None
    assert (chosen.continues, chosen.parameters) == (4, {"number": 4})


def test_what_was_promoted_is_not_promoted_again() -> None:
    """Also not while its promotion is still under way."""
    trials = [ended(4, 0.6, state="pruned"), *(ended(n, 0.9, 0.8, 0.7) for n in range(5, 11))]
    chosen = pruner.promotion(trials, begun(trials))
    assert chosen is not None
    assert pruner.promotion(trials, [*begun(trials), chosen]) is None


def test_a_promotion_does_not_count_twice() -> None:
    """Its curve begins with that of the paused trial."""
    trials = [*(ended(n, 0.5, 0.4, 0.3) for n in range(4)), ended(4, 0.9, state="pruned")]
    both = [*trials, ended(5, 0.9, 0.2, 0.1, continues=4)]
    assert pruner.pause_thresholds(both, (33,)) == pruner.pause_thresholds(trials, (33,))


def test_only_the_best_paused_trials_keep_their_checkpoints(tmp_path: Path) -> None:
    """Space is bounded; the others would train again from step 0."""
    (tmp_path / "data").mkdir()
    rundir = RunDir.create(tmp_path / "run", data=tmp_path / "data")
    trials = [ended(n, 0.9 - n / 100, state="pruned") for n in range(8)]
    for trial in trials:
        (rundir.trials / f"{trial.number:05d}.ckpt").write_bytes(b"state")
    pruner.tidy(rundir, trials, begun(trials))
    remaining = sorted(p.stem for p in rundir.trials.glob("*.ckpt"))
    assert remaining == ["00004", "00005", "00006", "00007"]


def test_only_the_best_trained_trials_and_the_first_one_keep_their_models(tmp_path: Path) -> None:
    """A search of a night must not fill the disk with networks that cannot win any more."""
    (tmp_path / "data").mkdir()
    rundir = RunDir.create(tmp_path / "run", data=tmp_path / "data")
    trials = []
    for number in range(policy.KEPT_MODELS + 3):
        score = FoldScore(fold=0, repeat=0, seed=0, n=10, accuracy=0.5, log_loss=9.0 - number)
        trials.append(replace(ended(number, 9.0 - number), steps=10, scores=(score,)))
        (rundir.trials / f"{number:05d}").mkdir(parents=True)
        (rundir.trials / f"{number:05d}" / "model.safetensors").touch()
    pruner.tidy(rundir, trials, begun(trials))
    remaining = sorted(int(p.name) for p in rundir.trials.iterdir())
    assert remaining == [0, *range(3, policy.KEPT_MODELS + 3)]


def test_a_candidate_is_the_same_whoever_continues_it() -> None:
    """`continues` is no parameter: it does not change what is trained."""
    one = ended(4, 0.6).candidate
    assert replace(one, continues=2).parameters == one.parameters
