"""lr-find: what it answers, what it refuses, and that nothing of it is left in what is trained afterwards."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from photos import write_crops

from advisor import schedules
from advisor.cli import run
from advisor.cli.lr_find import command
from advisor.errors import InputError
from advisor.execution import trainer
from advisor.models import predictor
from advisor.records import Settings
from advisor.records.plan import Head, Phase, Term, TrainPlan
from advisor.workflows import lr_finder
from advisor.workflows.session import Session, make_candidate, open_session

WORK = ["--backbone", "pocket", "--size", "32", "--offline", "--threads", "1", "--steps", "12"]


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty real crops in three classes."""
    return write_crops(tmp_path_factory.mktemp("data") / "crops", each=10, side_px=32)


@pytest.fixture
def session(crops: Path) -> Session:
    """The crops, opened for the built-in network at 32 px."""
    return open_session(Settings(data=str(crops), backbones=("pocket",), size_px=32, offline=True, threads=1))


def trained(session: Session) -> str:
    """Train four steps and hash what came out."""
    candidate = make_candidate(session, "full", {"epochs": 4.0, "batch": 24})
    rows = np.arange(len(session.resources.labels))
    plan = session.resources.plan(candidate, rows)
    classifier = trainer.classifier_for(session.resources, candidate, plan, rows, 0)
    loop = trainer.train_loop(session.resources, candidate, plan, classifier, rows, 0)
    for _ in loop.run():
        pass
    return predictor.weights_hash(loop.finish())


def test_it_leaves_no_trace(session: Session) -> None:
    """What is trained after a range test equals what is trained without one, bit by bit; generators stand still."""
    before = trained(session)
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    state = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    tensors = {k: v.clone() for k, v in session.resources.tensors(session.backbone)[0].items()}
    lr_finder.sweep(session, make_candidate(session, "full"), low=1e-6, high=1.0, steps=20)
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == state[1:]
    after = session.resources.tensors(session.backbone)[0]
    assert all(torch.equal(after[k], v) for k, v in tensors.items())
    assert trained(session) == before


def test_it_is_a_function_of_its_seed(session: Session) -> None:
    """The same seed gives the same losses, another one others; losses stop where training breaks down."""
    candidate = make_candidate(session, "full", {"optimizer": "sgd", "sgd_rate": 1e-2, "clip_norm": 0.0})
    first, again, other = (
        lr_finder.sweep(session, candidate, low=1e-4, high=1e3, steps=40, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert first.losses != other.losses
    assert len(first.losses) < 40
    assert first.suggestion.diverged_at is not None
    assert first.parameter == "sgd_rate"


def test_the_command_answers_and_draws(crops: Path, tmp_path: Path) -> None:
    """--json is one JSON document with the suggestion; --plot writes a drawing; the pool alone is used."""
    drawing = tmp_path / "rates.svg"
    done = CliRunner().invoke(command, [str(crops), *WORK, "--json", "--plot", str(drawing)], standalone_mode=False)
    assert done.exit_code == 0, done.exception
    printed = json.loads(done.stdout)
    assert len(printed["losses"]) == len(printed["rates"]) == len(printed["smoothed"])
    assert printed["suggestion"]["rate"] is None or printed["suggestion"]["rate"] > 0
    assert printed["suggestion"]["reason"]
    assert printed["parameter"] == "adam_rate"
    assert drawing.read_text().startswith("<svg")
    shown = CliRunner().invoke(command, [str(crops), *WORK, "--plot", str(tmp_path / "r.html")], standalone_mode=False)
    assert "suggested rate" in shown.stdout or "no suggestion" in shown.stdout
    assert "</html>" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--strategy", "ridge"], "without a learning rate"),
        (["--strategy", "ful"], "full"),
        (["--set", "epochs"], "NAME=VALUE"),
        (["--set", "batch=few"], "expected a number"),
        (["--set", "batch=0"], "batch"),
        (["--low", "2"], "0 < low < high"),
        (["--plot", "rates.pdf"], ".svg or .html"),
        (["--plot", "no/such/rates.svg"], "cannot be written"),
        (["--backbone", "pockt"], "pocket"),
    ],
)
def test_faults_are_one_line(crops: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A call at fault ends with code 2 and one line that says what to do."""
    assert run(["lr-find", str(crops), *WORK, *more]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_missing_data_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there is said so, before anything is loaded."""
    assert run(["lr-find", "no/such"]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_a_strategy_that_does_not_apply_says_why(session: Session) -> None:
    """An unknown strategy or parameter is refused by name."""
    with pytest.raises(InputError):
        make_candidate(session, "full", {"speed": 3})


PLAN = TrainPlan(
    phases=(Phase(head_rate=1e-2), Phase(start=3, rates={"a": 1e-4, "b": 1e-3}, head_rate=5e-3, only="norm", warmup=9)),
    steps=20,
    ema=0.9,
    finish=Term(function="a:b"),
)


@given(st.floats(-8, -2), st.floats(0.1, 6), st.integers(10, 300))
def test_rates_are_geometric(low: float, decades: float, steps: int) -> None:
    """Rates rise by one ratio from the first bound to the last, as numpy spaces them."""
    bounds = 10.0**low, 10.0 ** (low + decades)
    assert np.allclose(lr_finder.rates(*bounds, steps), np.geomspace(*bounds, steps))


@pytest.mark.parametrize(
    "bad", [(0.0, 1.0, 50), (1.0, 1.0, 50), (1e-3, math.inf, 50), (math.nan, 1.0, 50), (1e-6, 1.0, 9)]
)
def test_senseless_bounds_are_refused(bad: tuple[float, float, int]) -> None:
    """Bounds that are not 0 < low < high, or too few steps, are the caller's fault."""
    with pytest.raises(InputError):
        lr_finder.rates(*bad)


def test_a_rising_plan_keeps_proportions() -> None:
    """At step i the highest stage has the i-th rate, and every other group its share of it; no schedule bends it."""
    tried = lr_finder.rates(1e-5, 1e-1, 12)
    plan = lr_finder.rising(PLAN, tried)
    assert plan.steps == 12
    assert plan.ema == 0.0
    assert plan.finish is None
    for i, rate in enumerate(tried):
        now = schedules.rates_at(plan.schedule, plan.phases, i, plan.steps)
        assert now == pytest.approx({"a": rate / 10, "b": rate, schedules.HEAD: rate * 5})
    assert {phase.only for phase in plan.phases} == {"norm"}


def test_a_head_alone_is_swept_by_its_own_rate() -> None:
    """Where no stage trains, the rate is the head's; where nothing trains, there is nothing to sweep."""
    plan = lr_finder.rising(TrainPlan(phases=(Phase(head_rate=1e-2),), steps=5), [1e-3] * 10)
    assert plan.phases[0].head_rate == pytest.approx(1e-3)
    with pytest.raises(InputError, match="without a learning rate"):
        lr_finder.rising(TrainPlan(head=Head(kind="ridge")), [1e-3] * 10)


def test_smoothing_has_no_bias() -> None:
    """A constant loss stays what it is; the last value is the weighted mean of all losses."""
    assert np.allclose(lr_finder.smoothed([2.0] * 7), 2.0)
    losses = [3.0, 1.0, 4.0, 1.0, 5.0]
    weights = 0.9 ** np.arange(4, -1, -1)
    assert lr_finder.smoothed(losses)[-1] == pytest.approx(np.average(losses, weights=weights))


def quadratic(tried: list[float]) -> list[float]:
    """Noisy gradient descent on 1 + 0.5 x**2 with rising rates: stable below 2, and then it breaks down."""
    noise = np.random.default_rng(0).normal(0, 0.3, len(tried))
    x, losses = 10.0, []
    for rate, wrong in zip(tried, noise, strict=True):
        losses.append(1 + 0.5 * x * x)
        x -= rate * (x + wrong)
    return losses


def test_the_suggestion_lies_where_descent_is_stable() -> None:
    """On a quadratic, whose largest stable rate is 2, the suggestion is below it and not thousands of times below."""
    tried = lr_finder.rates(1e-4, 100.0, 100)
    losses = quadratic(tried)
    stop = next(i for i in range(1, 100) if lr_finder.broke_down(losses[:i]))
    suggestion = lr_finder.suggest(tried, losses[:stop], diverged=True)
    assert 2e-3 < suggestion.rate < 2.0
    assert suggestion.steepest < suggestion.lowest
    assert suggestion.diverged_at is not None
    assert suggestion.diverged_at > 2.0


def test_a_loss_that_does_not_fall_says_so() -> None:
    """From a fitted head the loss may only rise: nothing is suggested, and the reason names the last harmless rate."""
    tried = lr_finder.rates(1e-6, 1.0, 60)
    suggestion = lr_finder.suggest(tried, [1.0 if rate < 1e-3 else 1.0 + 50 * rate for rate in tried])
    assert suggestion.rate is None
    assert "fell by less than 3%" in suggestion.reason
    assert "did not raise it" in suggestion.reason
    with pytest.raises(InputError, match="smaller --low"):
        lr_finder.suggest(tried, [1.0, 2.0])
