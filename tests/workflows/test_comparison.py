"""compare: equal steps, the same images, honest distances, and a page that shows them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from photos import write_crops

import advisor
from advisor.cli import run
from advisor.cli.compare import command
from advisor.errors import InputError
from advisor.hooks import Card, Context, Parameter, Phase, TrainPlan
from advisor.records import Settings
from advisor.reporting.pages import comparison_page
from advisor.workflows import comparison, comparison_arm
from advisor.workflows.session import open_session

WORK = ["--backbone", "pocket", "--size", "32", "--offline", "--threads", "1", "--epochs", "2"]

ARMS = ["pretrained", "scratch", "partial"]


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty real crops in three classes."""
    return write_crops(tmp_path_factory.mktemp("data") / "crops", each=10, side_px=32)


@pytest.fixture(scope="module")
def compared(crops: Path) -> comparison.Comparison:
    """Three arms on the crops."""
    settings = Settings(data=str(crops), backbones=("pocket",), size_px=32, offline=True, threads=1)
    return comparison.compare(open_session(settings), ARMS, epochs=2.0, batch=8, surface=3)


def test_arms_have_equal_steps_and_points(compared: comparison.Comparison) -> None:
    """All arms take the same number of steps and are looked at after the same ones, from the start to the end."""
    assert len({a.steps for a in compared.arms}) == 1
    assert len({tuple(p.step for p in a.points) for a in compared.arms}) == 1
    for arm in compared.arms:
        assert arm.points[0].step == 0
        assert arm.points[-1].step == arm.steps
        assert arm.gap == pytest.approx(arm.points[-1].train_accuracy - arm.accuracy)
        assert len(arm.path) == len(arm.points)


def test_distances_begin_at_nothing(compared: comparison.Comparison) -> None:
    """At step 0 nothing has moved; frozen stages never move; the last point of the path is off its origin."""
    by_name = {a.name: a for a in compared.arms}
    for arm in compared.arms:
        assert arm.points[0].distance == 0.0
        assert arm.points[-1].distance > 0.0
        assert arm.path[0] == (0.0, 0.0)
        assert 0.5 < arm.path_explained <= 1.0 + 1e-9
    last = list(by_name["partial"].points[-1].stages.values())
    assert min(last[-2:]) > 0
    assert all(d == 0.0 for d in last[:-2])
    assert all(d > 0 for d in by_name["pretrained"].points[-1].stages.values())


def test_a_surface_holds_the_path(compared: comparison.Comparison) -> None:
    """Each arm has its grid of finite losses, and the path lies inside it."""
    for arm in compared.arms:
        assert arm.surface is not None
        assert np.isfinite(arm.surface.losses).all()
        assert np.shape(arm.surface.losses) == (3, 3)
        for x, y in arm.path:
            assert arm.surface.xs[0] <= x <= arm.surface.xs[-1]
            assert arm.surface.ys[0] <= y <= arm.surface.ys[-1]


def test_pretraining_shows(compared: comparison.Comparison) -> None:
    """The pretrained arm stays nearer to its start than the random one, and keeps its features."""
    by_name = {a.name: a for a in compared.arms}
    assert by_name["pretrained"].points[-1].distance < by_name["scratch"].points[-1].distance
    assert by_name["pretrained"].cka > 0.5
    assert 0 <= by_name["pretrained"].neighbours <= 1
    assert by_name["pretrained"].points[0].accuracy > by_name["scratch"].points[0].accuracy


@pytest.mark.parametrize(("steps", "expected"), [(100, 10), (3, 3), (1, 1), (17, 10)])
def test_stops_end_at_the_end(steps: int, expected: int) -> None:
    """An arm is looked at about ten times, never twice after the same step, and at its end."""
    steps_shown = comparison_arm.stops(steps)
    assert len(steps_shown) == expected
    assert steps_shown == sorted(set(steps_shown))
    assert steps_shown[-1] == steps
    assert steps_shown[0] >= 1


def test_an_arm_whose_time_is_over_stops_early(crops: Path) -> None:
    """Past the deadline each arm takes one step a stop at most, is finished and measured, and says how far it came."""
    settings = Settings(data=str(crops), backbones=("pocket",), size_px=32, offline=True, threads=1)
    compared = comparison.compare(open_session(settings), ["full"], epochs=4.0, batch=8, deadline=0.0)
    arm = compared.arms[0]
    assert 1 <= arm.steps < arm.planned
    assert arm.points[-1].step == arm.steps
    assert np.isfinite(arm.sharpness)


def test_the_page_holds_every_arm(compared: comparison.Comparison) -> None:
    """The page is self-contained and draws each arm; nan, as at the start, is null in JSON and gone from drawings."""
    plain = comparison.plain(compared)
    assert plain["arms"][0]["points"][0]["loss"] is None
    json.dumps(plain, allow_nan=False)
    text = comparison_page.render(plain)
    assert "<script" not in text
    assert text.count("the same number of steps for every arm") == 1
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert text.count("<svg") == 3 + len(compared.arms)
    for arm in compared.arms:
        assert f"{arm.name} (validation)" in text


def test_the_command_writes_and_repeats(crops: Path, tmp_path: Path) -> None:
    """The same call gives the same numbers, seconds apart; both files lie in --out."""
    answers = []
    for name in ("a", "b"):
        call = [str(crops), *WORK, "--arms", "pretrained", "--json", "--out", str(tmp_path / name)]
        done = CliRunner().invoke(command, call, standalone_mode=False)
        assert done.exit_code == 0, done.exception
        printed = json.loads(done.stdout)
        assert printed == json.loads((tmp_path / name / "comparison.json").read_text())
        assert (tmp_path / name / "comparison.html").read_text().endswith("</html>\n")
        for arm in printed["arms"]:
            arm.pop("seconds")
        answers.append(printed)
    assert answers[0] == answers[1]
    assert np.isfinite(answers[0]["arms"][0]["sharpness"])


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ("full,full", "each arm once"),
        ("", "an argument is empty"),
        ("ridge", "no learning curve"),
        ("scrach", "scratch"),
        ("mcc", "--target"),
    ],
)
def test_faults_are_one_line(
    crops: Path, arms: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Arms that cannot be compared end with code 2 and one line."""
    assert run(["compare", str(crops), *WORK, "--arms", arms, "--out", str(tmp_path / "out")]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--arms", ",", "--budget", "5m"], "each arm once"),
        (["--arms", "full,full", "--budget", "5m"], "each arm once"),
        (["--surface", "1"], "--surface 1: a surface has at least 2 points per side. Give 2 to 51, or 0 for none."),
    ],
)
def test_impossible_comparisons_are_refused_before_the_data_are_read(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No images are needed to say so, and no folder is left; the Python interface refuses the same."""
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    assert run(["compare", str(tmp_path / "empty"), *WORK, *options, "--out", str(out)]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()
    with pytest.raises(InputError, match="each arm once"):
        advisor.compare(tmp_path / "empty", [])
    with pytest.raises(InputError, match="--surface 1"):
        advisor.compare(tmp_path / "empty", surface=1)


class Counting:
    """Trains the last stage; epochs are whole numbers, and a batch is a word."""

    name, regime = "counting", "partial"
    card = Card(
        what="Train the last stage.",
        when="",
        parameters=(
            Parameter(name="epochs", default=5, kind="int", low=1, meaning="passes"),
            Parameter(
                name="batch", default="small", kind="choice", choices=("small", "large"), meaning="images per step"
            ),
        ),
    )

    def applies(self, context: Context) -> None:
        return None

    def first_guesses(self, context: Context) -> list[dict[str, Any]]:
        return [{"epochs": 5, "batch": "small"}]

    def plan(self, parameters: Mapping[str, Any], context: Context) -> TrainPlan:
        phases = (Phase(rates={context.stages[-1].name: 1e-3}, head_rate=1e-3),)
        return TrainPlan(phases=phases, steps=parameters["epochs"] * context.steps_per_epoch)


def test_an_arm_takes_what_is_shared_in_its_own_way(crops: Path) -> None:
    """Two epochs where whole ones are counted; its own batch where that is a word."""
    settings = Settings(data=str(crops), backbones=("pocket",), size_px=32, offline=True, threads=1)
    session = open_session(settings)
    registry = session.resources.registry
    session.resources.registry = replace(registry, strategies={**registry.strategies, "counting": Counting()})
    candidate, plan = comparison.planned(session, "counting", np.arange(20), 2.0, 8)
    assert candidate.parameters == {"epochs": 2, "batch": "small"}
    assert (type(plan.steps), plan.steps) == (int, 2)
    with pytest.raises(InputError, match=r"counting.epochs: expected a whole number above 0, got 2.5"):
        comparison.planned(session, "counting", np.arange(20), 2.5, 8)
