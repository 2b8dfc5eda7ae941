"""Trials on a Ray cluster of two nodes: the same results as here, and no job that is lost or ends twice, whatever dies."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photos import write_crops

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'tl-advise[ray]'")

from advisor import registry  # noqa: E402 (Ray is optional)
from advisor.data import dataset  # noqa: E402
from advisor.errors import InputError, OutOfTimeError  # noqa: E402
from advisor.execution import trial  # noqa: E402
from advisor.execution.executor import Ended  # noqa: E402
from advisor.execution.ray_cluster import connect, environment, executor  # noqa: E402
from advisor.execution.ray_cluster.actor import TrialActor  # noqa: E402
from advisor.execution.resources import Resources  # noqa: E402
from advisor.execution.worker import open_job  # noqa: E402
from advisor.records import Candidate, Dataset, Settings, Trial  # noqa: E402
from advisor.records.data import ReadOptions  # noqa: E402
from advisor.records.messages import RunTrial  # noqa: E402
from advisor.tuning.trials.study import Study  # noqa: E402

STORE_BYTES = 200 * 2**20
pytestmark = pytest.mark.timeout(900)  # two actors import torch; on a machine of its own it takes half a minute


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head and one node, one CPU each."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    head = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    try:
        made = Cluster(initialize_head=True, head_node_args=head)
        made.second = made.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
    except Exception as error:  # Ray gives its own processes 30 s to start, which a busy machine may not have
        pytest.skip(f"Ray cannot start here: {' '.join(str(error).split())[:80]}")
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Fifteen crops in three classes."""
    return dataset.read(str(write_crops(tmp_path_factory.mktemp("ray") / "crops", each=5)), test_split="none")


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "trials").mkdir()
    return folder


@pytest.fixture(scope="module")
def notes() -> list[str]:
    """What the user was told."""
    return []


def test_data_on_nodes_are_compared_with_the_coordinators(
    crops: Dataset, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same files under another path are used; other files and a wrong path are refused."""
    monkeypatch.setattr("advisor.runtime.device.apply", lambda compute: None)  # this process keeps its threads
    job = open_job(Settings(data=crops.root, threads=1), run_dir, crops, crops.items)
    copy = shutil.copytree(crops.root, tmp_path / "copy")
    actor = TrialActor()
    versions = actor.open(job, str(copy), "none", ReadOptions(), crops.fingerprint)
    assert {name: version for name, version in versions.items() if name != "node"} == environment.describe()
    assert actor.resources is not None
    assert actor.resources.job.root == str(copy)
    next(copy.rglob("*.jpg")).unlink()
    with pytest.raises(InputError, match=r"node .*: other files than the coordinator's"):
        actor.open(job, str(copy), "none", ReadOptions(), crops.fingerprint)
    with pytest.raises(InputError, match=r"node \d.*: no such folder"):
        actor.open(job, str(tmp_path / "none"), "none", ReadOptions(), crops.fingerprint)


def test_sigterm_keeps_its_meaning_beside_ray(cluster: Any) -> None:
    """Ray would exit at once; the command keeps the best model so far."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        ray.shutdown()
        connect.connect(cluster.address, 1)
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


def finished(run: Path) -> dict[int, Trial]:
    """The trials that ended, from a copy of the study."""
    if not (run / "study.db").exists():
        return {}
    with tempfile.TemporaryDirectory() as folder:
        for file in run.glob("study.db*"):
            shutil.copy(file, folder)
        return {record.number: record for record in Study(Path(folder) / "study.db", 0).trials()}


def ended(run: Path) -> int:
    """Count the trials that ended by the log: at once, where opening the study takes as long as several heads."""
    log = run / "log.jsonl"
    return log.read_text(encoding="utf-8").count('"event": "trial"') if log.exists() else 0


def stopped(command: list[str], run: Path, count: int, number: int) -> tuple[int, str]:
    """Start a command, send it a signal once so many trials ended; return its exit code and what it wrote."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        while ended(run) < count:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)
        process.send_signal(number)
        return process.wait(), process.communicate()[1]


def test_a_killed_and_a_stopped_coordinator(cluster: Any, crops: Dataset, tmp_path: Path) -> None:
    """After SIGKILL no finished trial is run again; Ctrl-C ends with 130 and the command that continues."""
    ray.shutdown()
    run = tmp_path / "run"
    call = [sys.executable, "-m", "advisor"]
    work = [
        "--backbone",
        "pocket",
        "--size",
        "32",
        "--regime",
        "feature_extraction",
        "--trials",
        "60",
        "--threads",
        "1",
    ]
    start = [
        *call,
        "advise",
        crops.root,
        "--ray",
        cluster.address,
        "--workers",
        "1",
        *work,
        "--offline",
        "--out",
        str(run),
    ]
    code, text = stopped(start, run, 1, signal.SIGKILL)
    assert code == -signal.SIGKILL, text
    before = finished(run)
    code, text = stopped([*call, "resume", str(run)], run, ended(run) + 1, signal.SIGINT)
    assert code == 130, text
    assert f"tl-advise resume {run}" in text
    after = finished(run)
    assert len(after) > len(before)
    assert {number: after[number] for number in before} == before


@pytest.fixture(scope="module")
def trials(cluster: Any, crops: Dataset, run_dir: Path, notes: list[str]) -> Iterator[executor.RayExecutor]:
    """Actors on the cluster, started once, since each imports torch; the coordinator is this process."""
    settings = Settings(data=crops.root, ray=cluster.address, threads=1, test_split="none")
    module = connect.connect(cluster.address, 1)
    job = open_job(settings, run_dir, crops, crops.items)
    made = executor.start(module, job, crops, settings, registry.load(), notes.append)
    yield made
    made.close()


def trial_job(number: int, *, long: bool = False, limit_s: float | None = None) -> RunTrial:
    """Fit a head, or train for hours."""
    name, parameters = ("full", {"epochs": 1e6, "batch": 8}) if long else ("ridge", {})
    candidate = Candidate(backbone="pocket", strategy=name, parameters=parameters, size_px=32)
    return RunTrial(number=number, candidate=candidate, folds=(0, 1), repeat=0, seed=0, started_s=0.0, limit_s=limit_s)


def heard(trials: executor.RayExecutor, count: int) -> list[Ended]:
    """Wait for so many ends; the outer limit is the test's."""
    ended: list[Ended] = []
    while len(ended) < count:
        end = trials.poll(lambda progress: None)
        ended += [end] if end is not None else []
    return ended


def test_orders_end_once_with_what_this_machine_gets_and_without_the_files(
    trials: executor.RayExecutor, crops: Dataset, run_dir: Path
) -> None:
    """Pixels travel, logits and models come back; the numbers are those of a trial here, to the bit."""
    for number in range(3):
        trials.submit(trial_job(number))
    ended = heard(trials, 3)
    assert not trials.busy
    assert sorted(e.job.number for e in ended) == [0, 1, 2]
    job = open_job(Settings(data=crops.root, threads=1), run_dir / "here", crops, crops.items)
    (run_dir / "here" / "trials").mkdir(parents=True)
    own = trial.run(Resources(job, registry.load(), lambda *anything: None), trial_job(0), lambda progress: None)
    for end in ended:
        assert isinstance(end.outcome, Trial)
        assert end.outcome.scores == own.scores
        with np.load(run_dir / end.outcome.predictions) as there, np.load(run_dir / "here" / own.predictions) as here:
            np.testing.assert_array_equal(there["logits"], here["logits"])


def test_a_late_order_is_ended_and_an_actor_that_dies_gives_its_order_back(
    trials: executor.RayExecutor, notes: list[str]
) -> None:
    """The actor of the late one is killed, since it does not answer; SIGKILL costs time alone, and the user is told."""
    trials.submit(
        trial_job(10, long=True, limit_s=3600.0)
    )  # its limit passes below, however long the actors take to start
    trials.submit(trial_job(20))
    while len(busy := {slot.job.number: slot for slot in trials._slots if slot.job is not None}) < 2:
        trials.poll(lambda progress: None, wait_s=0.0)
    trials._deadlines[10, 0] = time.monotonic()
    ray.kill(busy[20].actor, no_restart=True)
    ended = {end.job.number: end for end in heard(trials, 2)}
    assert isinstance(ended[10].outcome, OutOfTimeError)
    assert isinstance(ended[20].outcome, Trial), str(ended[20].outcome)
    assert "trial 20 begins again: its actor died" in notes


def test_a_node_that_is_lost_costs_no_order(trials: executor.RayExecutor, cluster: Any) -> None:
    """What ran there is done elsewhere, once."""
    for number in range(30, 34):
        trials.submit(trial_job(number))
    cluster.remove_node(cluster.second)
    ended = heard(trials, 4)
    assert sorted(e.job.number for e in ended) == [30, 31, 32, 33]
    assert [str(e.outcome) for e in ended if not isinstance(e.outcome, Trial)] == []


def test_a_cancelled_order_has_no_end(trials: executor.RayExecutor) -> None:
    """Its actor is killed, since it does not answer."""
    trials.submit(trial_job(11, long=True))
    trials.cancel(11)
    assert not trials.busy


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nowhere", "no address of a cluster"),
        ("ray://127.0.0.1:1", "no address of a cluster"),
        ("127.0.0.1:1", "does not answer"),
    ],
)
def test_a_cluster_that_cannot_be_reached_is_one_line_in_seconds(address: str, message: str) -> None:
    """Exit code 2, and what to do."""
    with pytest.raises(InputError, match=message) as error:
        connect.connect(address)
    assert error.value.exit_code == 2
    assert error.value.hint


def test_an_old_ray_is_refused_with_the_command_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The protocol is that of 2.40."""
    monkeypatch.setattr(ray, "__version__", "2.9.3")
    with pytest.raises(InputError, match=r"Ray 2\.9\.3 is too old.*pip install"):
        connect.connect("auto")


def test_what_differs_on_a_node_is_named() -> None:
    """The first difference, with the node and both versions; the same environment is no difference."""
    here = environment.describe()
    assert environment.difference("10.0.0.3", here, here) == ""
    other = {**here, "plugin pocket": "tl-advise 9.9"}
    assert environment.difference("10.0.0.3", other, here).startswith(
        "node 10.0.0.3: plugin pocket is tl-advise 9.9 there and"
    )
    gone = {name: version for name, version in here.items() if name != "plugin pocket"}
    assert "is not installed there" in environment.difference("10.0.0.3", gone, here)
