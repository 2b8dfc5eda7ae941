"""The main job from end to end, as a person runs it: on the command line, with real files, killed and resumed.

What is killed or stopped is a process of its own; other commands run in this one.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import run
from photos import write_crops

from advisor.records import Trial
from advisor.tuning.trials.study import Study

pytestmark = pytest.mark.timeout(1200)  # against a hang only: no outcome here depends on how fast the machine is

CALL = [sys.executable, "-m", "advisor"]
WORK = ["--trials", "3", "--seed", "3", "--backbone", "pocket", "--size", "64", "--offline", "--threads", "1"]
FILES = (
    "profile.json",
    "splits.csv",
    "study.db",
    "candidates.json",
    "recipe.yaml",
    "model.safetensors",
    "model.json",
    "result.json",
    "report.html",
    "README.md",
    "log.jsonl",
)
STRATEGIES = ["--strategy", "logistic", "--strategy", "partial"]
WITHOUT_TORCH = """
import sys
from advisor import cli
code = cli.run(sys.argv[1:])
sys.exit(code or ("torch was imported" if "torch" in sys.modules else 0))
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One cache for all runs of this file."""
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def shared_cache(cache: str, own_cache: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runs of this file share their pixels and features."""
    monkeypatch.setenv("TL_ADVISE_CACHE", cache)


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty real crops in three classes."""
    return write_crops(tmp_path_factory.mktemp("data") / "crops")


@pytest.fixture(scope="module")
def finished(crops: Path, cache: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whole run, in which only the worker imports torch, which takes seconds."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    environment = {**os.environ, "TL_ADVISE_CACHE": cache}
    call = [sys.executable, "-c", WITHOUT_TORCH, "advise", str(crops), *WORK, *STRATEGIES, "--out", str(out)]
    done = subprocess.run(call, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return out


def facts(run_dir: Path) -> dict[str, Any]:
    """Read a recipe without the times in it."""
    recipe: dict[str, Any] = yaml.safe_load((run_dir / "recipe.yaml").read_text(encoding="utf-8"))
    recipe["outcome"].pop("seconds")
    return recipe


def result(run_dir: Path) -> dict[str, Any]:
    """Read result.json."""
    content: dict[str, Any] = json.loads((run_dir / "result.json").read_text(encoding="utf-8"))
    return content


def test_a_run_leaves_everything_that_was_promised(finished: Path) -> None:
    """Files of the run directory, fields of result.json, counts that add up."""
    for name in FILES:
        assert (finished / name).stat().st_size > 0, name
    written = result(finished)
    assert written["status"] == "final"
    assert written["dataset"]["images"] == 60
    assert written["dataset"]["splits"] == {"pool": 48, "test": 12}
    assert sum(written["trials"].values()) == 3
    assert written["test"]["n"] == 12
    low, high = written["test"]["ci95"]
    assert low <= written["test"]["accuracy"] <= high
    logged = [json.loads(line) for line in (finished / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    first = next(line["at_s"] for line in logged if line["event"] == "probe")
    probes = json.loads((finished / "probes.json").read_text(encoding="utf-8"))
    assert (
        0.5 < min(p["started_s"] + p["seconds"] for p in probes) <= first
    )  # the chart's axis; imports alone take more
    assert written["baseline"]["best"]["trial"] == 0
    counts = [score["n"] for score in written["test"]["per_class"].values()]
    assert written["majority"] == max(counts) / sum(counts)
    assert written["regime"]["prior"] == "feature_extraction"
    predicted = next(line for line in logged if line["event"] == "predicted")
    assert written["budget"]["predicted_s"] == pytest.approx(predicted["at_s"] + predicted["left_s"], abs=0.2)
    assert predicted["at_s"] > first  # after the probes, whose pass was timed
    assert [at["images"] for at in written["forecast"]["expected"]] == [48, 96, 192]
    assert written["test"]["accuracy"] > 0.5  # three classes that any network tells apart


def test_finished_runs_teach_a_later_one(finished: Path, crops: Path, tmp_path: Path) -> None:
    """Result and recipe state how many runs and which; what was read is in the run; the recipe reruns without them."""
    lesson, out = tmp_path / "lesson", tmp_path / "learned"
    shutil.copytree(finished, lesson / "earlier")
    call = ["--trials", "1", *WORK[2:], "--strategy", "logistic", "--experience", str(lesson), "--out", str(out)]
    run("advise", str(crops), *call)
    read = json.loads((out / "experience.json").read_text(encoding="utf-8"))
    used = {"runs": 1, "sha256": read["sha256"]}
    assert (result(out)["experience"], facts(out)["experience"]) == (used, used)
    assert {r["strategy"] for r in read["readings"]} >= {"logistic"}
    shutil.rmtree(lesson)
    assert "verified: identical" in run("rerun", str(out), "--verify", "--offline").stdout


def test_the_recipe_reruns_to_the_same_bits(finished: Path) -> None:
    """rerun --verify demands equal weights and an equal score on the same machine."""
    done = run("rerun", str(finished), "--verify", "--offline")
    assert "verified: identical" in done.stdout


def test_a_recipe_that_says_another_score_does_not_verify(finished: Path, tmp_path: Path) -> None:
    """A recipe whose weights hash was changed exits with 3 and one line."""
    recipe = (finished / "recipe.yaml").read_text(encoding="utf-8")
    digest = facts(finished)["outcome"]["weights_sha256"]
    other = tmp_path / "recipe.yaml"
    other.write_text(recipe.replace(digest, "f" * 64), encoding="utf-8")
    done = run("rerun", str(other), "--verify", "--offline", code=3)
    assert done.stderr.strip().splitlines()[-1].startswith("error: the same kind of machine produced other weights")


def test_a_recipe_moves_to_other_data(finished: Path, tmp_path: Path) -> None:
    """--data applies it to other classes; without --data, changed data are refused."""
    other = write_crops(tmp_path / "other", classes=4, each=12, seed=1)
    done = run("rerun", str(finished), "--data", str(other), "--seeds", "2", "--offline", "--json")
    again = json.loads(done.stdout)["result"]
    assert again["same_data"] is False
    assert len(again["runs"]) == 2
    assert again["runs"][0]["test"]["n"] >= 4


def test_changed_data_are_refused(finished: Path, crops: Path, tmp_path: Path) -> None:
    """The fingerprint guards the recipe; the message says how to mean it."""
    moved = tmp_path / "crops"
    shutil.copytree(crops, moved)
    (moved / "class 0" / "000.jpg").unlink()
    recipe = (finished / "recipe.yaml").read_text(encoding="utf-8").replace(str(crops), str(moved))
    (tmp_path / "recipe.yaml").write_text(recipe, encoding="utf-8")
    done = run("rerun", str(tmp_path / "recipe.yaml"), "--offline", code=2)
    assert "has changed since the recipe was made" in done.stderr
    assert "--data" in done.stderr


def test_resume_of_a_finished_run_prints_its_result(finished: Path) -> None:
    """Nothing is searched or scored again."""
    before = (finished / "result.json").read_bytes()
    done = run("resume", str(finished), "--json")
    assert json.loads(done.stdout)["test"] == result(finished)["test"]
    assert (finished / "result.json").read_bytes() == before


def test_predict_uses_the_model(finished: Path, crops: Path) -> None:
    """The model classifies its own training images."""
    done = run("predict", str(finished), str(crops / "class 1"), "--json")
    assert "class 1" in done.stdout


def test_the_python_interface_tells_the_same(finished: Path, crops: Path) -> None:
    """advisor.load and advisor.inspect return records."""
    import advisor

    predictions = advisor.load(finished).predict([crops / "class 0" / "000.jpg"])
    assert predictions.classes == ("class 0", "class 1", "class 2")
    assert predictions.probabilities.sum() == pytest.approx(1.0)
    assert advisor.inspect(crops).images == 60


@pytest.mark.parametrize("kill", [0, 1])
def test_a_killed_run_resumed_equals_one_that_was_not(finished: Path, crops: Path, tmp_path: Path, kill: int) -> None:
    """SIGKILL at two random instants, then resume: the recipe of another run with this seed to the bit, no trial lost.

    Weights hash and test score are in the recipe, so two runs with one seed agree as well.
    """
    out = tmp_path / "killed"
    draws = random.Random(kill)
    command = [*CALL, "advise", str(crops), *WORK, *STRATEGIES, "--out", str(out)]
    for _ in range(2):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                process.wait(timeout=draws.uniform(1.0, 9.0))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        if not (out / "run.json").exists():
            break
        if (out / "recipe.yaml").exists():
            facts(out)  # readable at any instant
        command = [*CALL, "resume", str(out)]
    run(*command[len(CALL) :], "--quiet")
    assert facts(out) == facts(finished)
    assert result(out)["trials"] == result(finished)["trials"]


def test_a_killed_run_of_two_workers_loses_no_trial(tmp_path: Path) -> None:
    """Which trials run may depend on the workers; that what ended stays, and that none is left open, may not."""
    out, few = tmp_path / "two", write_crops(tmp_path / "few", each=6, side_px=32)
    work = ["--trials", "4", "--backbone", "pocket", "--size", "32", "--strategy", "logistic", "--workers", "2"]
    call = [*CALL, "advise", str(few), *work, "--offline", "--threads", "1", "--out", str(out)]
    with subprocess.Popen(call, stderr=subprocess.DEVNULL) as process:
        while not (ended := finished_trials(out)) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert ended
    done = json.loads(run("resume", str(out), "--quiet", "--json").stdout)
    assert done["status"] == "final"
    assert sum(done["trials"].values()) == 4
    study = Study(out / "study.db", 0)
    assert study.interrupted() == []
    assert {t.number for t in ended} <= {t.number for t in study.trials()}
    assert [t for t in study.trials() if t.number in {e.number for e in ended}] == ended


def finished_trials(out: Path) -> list[Trial]:
    """Read the finished trials of a run that is under way."""
    return Study(out / "study.db", 0).trials() if (out / "log.jsonl").exists() and "trial" in events(out) else []


def events(out: Path) -> list[str]:
    """List the events of a run's log."""
    lines = (out / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["event"] for line in lines if line.endswith("}")]


def test_ctrl_c_keeps_the_best_so_far(crops: Path, tmp_path: Path) -> None:
    """SIGINT: exit 130 within seconds, a provisional recipe that verifies, a run that can be resumed."""
    out = tmp_path / "stopped"
    call = [*CALL, "advise", str(crops), "--budget", "5m", *WORK[2:], "--strategy", "logistic", "--strategy", "full"]
    with subprocess.Popen([*call, "--out", str(out)], stderr=subprocess.PIPE, text=True) as process:
        while not (out / "recipe.yaml").exists() and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 130
    assert "tl-advise resume" in errors.strip().splitlines()[-1]
    assert result(out)["status"] == "provisional"
    assert facts(out)["status"] == "provisional"
    assert "verified" in run("rerun", str(out), "--verify", "--offline").stdout


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (["no-such-folder"], "no such command, folder or file"),
        (["{crops}", "--backbone", "pockett"], "did you mean pocket"),
        (["{crops}", "--strategy", "ful"], "did you mean full"),
        (["{crops}", "--regime", "ful"], "--regime ful"),
        (["{crops}", "--regime", "full", "--strategy", "ridge"], "the regime of ridge is feature_extraction"),
        (["{crops}", "--budget", "soon"], "--budget soon"),
        (["{crops}", "--out", "{crops}/run"], "inside the data set"),
        (["{crops}", "--backbone", "resnet50", "--offline"], "resnet50"),
        (["{crops}", "--device", "cuda:99", "--backbone", "pocket"], "cuda:99"),
        (["rerun", "no-such-run"], "no-such-run"),
        (["resume", "{crops}"], "no run of tl-advise"),
        (["predict", "no-such-run", "{crops}"], "no-such-run"),
    ],
)
def test_a_call_at_fault_is_one_line_and_exit_2(crops: Path, tmp_path: Path, call: list[str], words: str) -> None:
    """What happened, where, what to do; no traceback."""
    filled = [word.replace("{crops}", str(crops)) for word in call]
    if filled[0] not in ("rerun", "resume", "predict") and "--out" not in filled:
        filled += ["--out", str(tmp_path / "out")]
    done = run(*filled, code=2)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error:")
    assert words.lower() in last.lower()
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()  # a call at fault leaves no run behind
