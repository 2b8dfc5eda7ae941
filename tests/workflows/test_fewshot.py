"""fewshot: intervals over the same episodes, the command's answer, and calls at fault in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from photos import write_crops
from scipy import stats

from advisor.cli import run
from advisor.cli.fewshot import command
from advisor.errors import InputError
from advisor.records import Head, Settings
from advisor.training import episodes
from advisor.workflows import fewshot
from advisor.workflows.session import make_candidate, open_session

WORK = ["--backbone", "pocket", "--size", "32", "--offline", "--threads", "1"]
SMALL = ["--ways", "3", "--shots", "2", "--queries", "4", "--episodes", "40"]


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real crops in three classes; a fourth class is too small for episodes."""
    folder = write_crops(tmp_path_factory.mktemp("data") / "crops", classes=4, each=12, side_px=32)
    for path in sorted((folder / "class 3").iterdir())[4:]:
        path.unlink()
    return folder


def test_the_interval_is_the_usual_one() -> None:
    """The interval of a mean over episodes is scipy's, Student's with the standard error, for two episodes as for many."""
    for count in (2, 5, 200):
        values = np.random.default_rng(0).uniform(size=count)
        expected = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
        assert fewshot.interval(values) == pytest.approx(expected)


def test_separable_classes_are_told_apart_and_noise_is_not() -> None:
    """Features that hold the class give nearly 1, features that do not give chance."""
    draw = np.random.default_rng(1)
    labels = np.repeat(np.arange(6), 20)
    ids = np.arange(len(labels), dtype=np.uint64)
    drawn = episodes.draw(labels, ids, ways=5, shots=5, queries=10, count=60, seed=0)
    noise = draw.normal(size=(len(labels), 16)).astype(np.float32)
    clear = noise + 20 * np.eye(6, 16, dtype=np.float32)[labels]
    assert fewshot.score(Head(kind="prototypes"), clear, drawn).mean() > 0.99
    chance = fewshot.score(Head(kind="prototypes"), noise, drawn)
    assert abs(chance.mean() - 0.2) < 0.05


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many episodes are computed together does not show in the scores."""
    labels = np.repeat(np.arange(4), 10)
    values = np.random.default_rng(2).normal(size=(40, 8)).astype(np.float32)
    drawn = episodes.draw(labels, np.arange(40, dtype=np.uint64), ways=3, shots=2, queries=5, count=11, seed=0)
    whole = fewshot.score(Head(kind="ridge"), values, drawn)
    monkeypatch.setattr(fewshot, "CHUNK_BYTES", 1)
    assert np.array_equal(whole, fewshot.score(Head(kind="ridge"), values, drawn))


def test_the_command_answers(crops: Path) -> None:
    """All capable strategies are scored on the same episodes, best first, with intervals; the small class is left out."""
    done = CliRunner().invoke(command, [str(crops), *WORK, *SMALL, "--json"], standalone_mode=False)
    assert done.exit_code == 0, done.exception
    printed = json.loads(done.stdout)
    names = [s["strategy"] for s in printed["scores"]]
    assert set(names) >= {"prototypes", "ridge", "logistic", "knn"}
    accuracies = [s["accuracy"] for s in printed["scores"]]
    assert accuracies == sorted(accuracies, reverse=True)
    assert all(s["ci95"][0] <= s["accuracy"] <= s["ci95"][1] for s in printed["scores"])
    assert printed["scores"][0]["behind"] == 0
    assert printed["left_out"] == ["class 3"]
    again = CliRunner().invoke(command, [str(crops), *WORK, *SMALL, "--json"], standalone_mode=False)
    assert again.stdout == done.stdout
    shown = CliRunner().invoke(
        command, [str(crops), *WORK, *SMALL, "--strategy", "knn", "--layers", "last"], standalone_mode=False
    )
    assert "3-way 2-shot" in shown.stdout
    assert "1 of 4 classes" in shown.stdout


def test_what_trains_is_tested_on_other_classes(tmp_path: Path) -> None:
    """A strategy that trains has base classes, and all strategies are tested on the others, in the same episodes."""
    folder = write_crops(tmp_path / "crops", classes=5, each=12, side_px=32)
    call = [str(folder), *WORK, "--ways", "2", "--shots", "2", "--queries", "4", "--episodes", "30"]
    call += ["--strategy", "episodic", "--strategy", "partial", "--strategy", "prototypes", "--epochs", "1"]
    done = CliRunner().invoke(command, [*call, "--json"], standalone_mode=False)
    assert done.exit_code == 0, done.exception
    printed = json.loads(done.stdout)
    assert not set(printed["base_classes"]) & set(printed["classes"])
    assert len(printed["base_classes"]) + len(printed["classes"]) == 5
    assert {s["strategy"] for s in printed["scores"]} == {"episodic", "partial", "prototypes"}
    shown = CliRunner().invoke(command, call, standalone_mode=False)
    assert "3 classes for training" in shown.stdout


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--ways", "9"], "take fewer --ways"),
        (["--strategy", "full"], "needs 5 classes"),
        (["--strategy", "prototype"], "prototypes"),
        (["--ways", "1"], "--ways"),
    ],
)
def test_faults_are_told(crops: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A call at fault ends with code 2 and says what to do."""
    assert run(["fewshot", str(crops), *WORK, *SMALL, *more]) == 2
    assert message in capsys.readouterr().err


NAMES = [f"class {i}" for i in range(12)]


def test_a_split_is_disjoint_and_follows_names() -> None:
    """No class is on both sides, about 60 % are base, enough stay novel; another order of names is the same split."""
    usable = np.array([0, 1, 2, 4, 5, 6, 7, 8, 9, 11])
    parts = fewshot.split(NAMES, usable, ways=3, seed=0)
    assert len(parts.base) == 6
    assert sorted([*parts.base, *parts.novel]) == usable.tolist()
    assert len(fewshot.split(NAMES, usable, ways=8, seed=0).novel) == 8
    turned = fewshot.split(NAMES[::-1], np.sort(11 - usable), ways=3, seed=0)
    assert {NAMES[::-1][c] for c in turned.base} == {NAMES[c] for c in parts.base}
    assert fewshot.split(NAMES, usable, ways=3, seed=1) != parts
    with pytest.raises(InputError, match="needs 11 classes"):
        fewshot.split(NAMES, usable, ways=9, seed=0)


def test_training_sees_base_classes_alone(tmp_path: Path) -> None:
    """Changing the pictures of novel classes changes nothing of the trained network: base features are the same bits."""
    folder = write_crops(tmp_path / "crops", classes=5, each=8, side_px=32)
    seen = []
    for round_ in range(2):
        settings = Settings(
            data=str(folder), backbones=("pocket",), size_px=32, offline=True, threads=1, test_split="none"
        )
        session = open_session(settings)
        candidate = make_candidate(session, "episodic", {"epochs": 1.0})
        pooled = fewshot.base_trained_features(session, candidate, (0, 1, 2), seed=0)
        base = [i for i, item in enumerate(session.resources.job.items) if item.label < 3]
        seen.append(pooled.values[base])
        frozen = session.resources.pooled(session.backbone, 32)
        last = frozen.values.shape[1] - frozen.dims[-1]
        assert not np.allclose(pooled.values[base][:, last:], frozen.values[base][:, last:])
        if not round_:
            for path in (folder / "class 4").iterdir():
                path.write_bytes(next((folder / "class 0").iterdir()).read_bytes())
    assert np.array_equal(*seen)
