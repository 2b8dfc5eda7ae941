"""lr-find: what it answers, what it refuses, and that nothing of it is left in what is trained afterwards."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from photos import write_crops

from advisor.cli import run
from advisor.cli.lr_find import command
from advisor.errors import InputError
from advisor.execution import trainer
from advisor.models import predictor
from advisor.records import Settings
from advisor.workflows import lr_finder, session

WORK = ["--backbone", "pocket", "--size", "32", "--offline", "--threads", "1", "--steps", "12"]


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty real crops in three classes."""
    return write_crops(tmp_path_factory.mktemp("data") / "crops", each=10, side_px=32)


@pytest.fixture
def bench(crops: Path) -> session.Bench:
    """The crops, opened for the built-in network at 32 px."""
    return session.settle(Settings(data=str(crops), backbones=("pocket",), size_px=32, offline=True, threads=1))


def trained(bench: session.Bench) -> str:
    """Train four steps and hash what came out."""
    candidate = session.candidate(bench, "full", {"epochs": 4.0, "batch": 24})
    rows = np.arange(len(bench.resources.labels))
    plan = bench.resources.plan(candidate, rows)
    classifier = trainer.classifier_for(bench.resources, candidate, plan, rows, 0)
    loop = trainer.train_loop(bench.resources, candidate, plan, classifier, rows, 0)
    for _ in loop.run():
        pass
    return predictor.weights_hash(loop.finish())


def test_it_leaves_no_trace(bench: session.Bench) -> None:
    """What is trained after a range test equals what is trained without one, bit by bit; generators stand still."""
    before = trained(bench)
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    state = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    tensors = {k: v.clone() for k, v in bench.resources.tensors(bench.backbone)[0].items()}
    lr_finder.sweep(bench.resources, session.candidate(bench, "full"), low=1e-6, high=1.0, steps=20)
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == state[1:]
    after = bench.resources.tensors(bench.backbone)[0]
    assert all(torch.equal(after[k], v) for k, v in tensors.items())
    assert trained(bench) == before


def test_it_is_a_function_of_its_seed(bench: session.Bench) -> None:
    """The same seed gives the same losses, another one others; losses stop where training breaks down."""
    candidate = session.candidate(bench, "full", {"optimizer": "sgd", "sgd_rate": 1e-2, "clip_norm": 0.0})
    first, again, other = (
        lr_finder.sweep(bench.resources, candidate, low=1e-4, high=1e3, steps=40, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert first.losses != other.losses
    assert len(first.losses) < 40
    assert first.suggestion.diverged_at is not None
    assert first.parameter == "sgd_rate"


def test_the_command_answers_and_draws(crops: Path, tmp_path: Path) -> None:
    """--json is one JSON document with the suggestion; --plot writes a drawing; the pool alone is used."""
    place = tmp_path / "rates.svg"
    done = CliRunner().invoke(command, [str(crops), *WORK, "--json", "--plot", str(place)], standalone_mode=False)
    assert done.exit_code == 0, done.exception
    answer = json.loads(done.stdout)
    assert len(answer["losses"]) == len(answer["rates"]) == len(answer["smoothed"])
    assert answer["suggestion"]["rate"] > 0
    assert answer["parameter"] == "adam_rate"
    assert place.read_text().startswith("<svg")
    told = CliRunner().invoke(command, [str(crops), *WORK, "--plot", str(tmp_path / "r.html")], standalone_mode=False)
    assert "suggested rate" in told.stdout
    assert "</html>" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("more", "told"),
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
def test_faults_are_one_line(crops: Path, more: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A call at fault ends with code 2 and one line that says what to do."""
    assert run(["lr-find", str(crops), *WORK, *more]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert told in lines[0]


def test_missing_data_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there is said so, before anything is loaded."""
    assert run(["lr-find", "no/such"]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_a_strategy_that_does_not_apply_says_why(bench: session.Bench) -> None:
    """An unknown strategy or parameter is refused by name."""
    with pytest.raises(InputError):
        session.candidate(bench, "full", {"speed": 3})
