"""A search on many machines: no trial is run or told twice, a lost one is begun again once, nothing finished is lost.

The rules are the same on SQLite and on PostgreSQL; the second one is skipped where no server can be had.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import optuna
import postgres
import pytest
import sleepers
from photos import write_crops

from advisor import registry
from advisor.data import dataset
from advisor.errors import AdviseError, InputError
from advisor.execution.worker_pool import WorkerPool
from advisor.records import Candidate, Trial
from advisor.records.messages import OpenDataset, RunTrial
from advisor.tuning.distributed.database import Database, address, public
from advisor.tuning.distributed.remote_pool import Fleet
from advisor.tuning.distributed.remote_worker import Recruit
from advisor.tuning.distributed.shared_study import COORDINATOR, SharedStudy, claim, offer_of
from advisor.tuning.study import AGAIN_AT_MOST

LEASE_S = 60.0  # no test waits for it: a lease that runs out is taken with a shorter one


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    """One server for this file."""
    pytest.importorskip("psycopg")
    try:
        made = postgres.Server()
    except postgres.Unavailable as error:
        pytest.skip(str(error))
    try:
        yield made.start()
    finally:
        made.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the study stands."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/shared.db"
    return str(request.getfixturevalue("server").url)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A study of each test's own."""
    return request.node.name


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set."""
    return write_crops(tmp_path_factory.mktemp("data") / "crops", each=4)


def held(url: str, name: str, me: str = "me", run: str = "run") -> SharedStudy:
    """Open a study as its coordinator."""
    return SharedStudy(Database(url), name, 0, run=run, me=me, lease_s=LEASE_S)


def offered(study: SharedStudy, data: Path, *, plugins: dict[str, str] | None = None) -> None:
    """Publish an offer of this data set."""
    found = dataset.read(str(data))
    items = tuple(i for i in found.items if i.split == "pool")
    job = OpenDataset(
        root=found.root, classes=found.classes, items=items, folds=5, seed=0, device="cpu", run_dir="", offline=True
    )
    offer = offer_of(job, found.fingerprint, "auto", {}, LEASE_S)
    study.publish(offer if plugins is None else type(offer)(**{**offer.__dict__, "plugins": plugins}))


def joined(url: str, name: str, data: Path, seconds: float | Callable[[int], float] = 0.05) -> Recruit:
    """A worker whose trials sleep."""
    return Recruit(
        database=Database(url),
        name=name,
        data=str(data),
        open_worker=lambda job, offer: sleepers.Sleeper(seconds, Path(job.run_dir)),
    )


def order(number: int) -> RunTrial:
    """Say what to run; nobody trains it."""
    candidate = Candidate(backbone="pocket", strategy="full", parameters={"rate": 0.1 * number})
    return RunTrial(number=number, candidate=candidate, folds=(0,), repeat=0, seed=0, started_s=0.0)


def test_workers_elsewhere_run_every_trial_once_and_send_their_logits(
    url: str, name: str, crops: Path, tmp_path: Path
) -> None:
    """Twelve trials on two workers and none here: all complete, logits equal to the bit, workers leave at the end."""
    (tmp_path / "run" / "trials").mkdir(parents=True)
    study = held(url, name)
    offered(study, crops)
    done: list[int] = []
    hands = [threading.Thread(target=lambda: done.append(joined(url, name, crops).serve())) for _ in range(2)]
    for hand in hands:
        hand.start()
    fleet = Fleet(WorkerPool([]), study, tmp_path / "run", local=False, note=lambda t: None, invite=lambda w: None)
    sleepers.search(study, fleet, 12)
    study.close()
    for hand in hands:
        hand.join(60)
    study.leave()
    assert sum(done) == 12
    assert [t.number for t in study.trials()] == list(range(12))
    assert {t.state for t in study.trials()} == {"complete"}
    with np.load(tmp_path / "run" / "trials" / "00007.npz") as arrived:
        expected = np.random.default_rng(7).normal(size=(sleepers.IMAGES, sleepers.CLASSES)).astype(np.float32)
        assert np.array_equal(arrived["logits"], expected)


def test_a_trial_whose_worker_goes_silent_is_begun_again(url: str, name: str, tmp_path: Path) -> None:
    """A loss gives another trial with the same parameters; one that is lost too often counts as failed."""
    study = held(url, name)
    fleet = Fleet(WorkerPool([]), study, tmp_path, local=False, note=lambda t: None, invite=lambda w: None)
    number = study.begin(order(0).candidate)
    for again in (*[True] * AGAIN_AT_MOST, False):
        fleet._live = 1
        fleet.submit(order(number))
        assert claim(study.database, study.id, number, "gone", 0.2)  # by a worker that is never heard of again
        ended = None
        while ended is None:
            ended = fleet.poll(lambda p: None)
        assert "was not heard of" in str(ended.answer)
        study.finish(
            Trial(
                number=number, candidate=ended.order.candidate, regime="full", state="failed", error=str(ended.answer)
            )
        )
        assert study.lost() == ([number] if again else [])
        if again:
            number = study.begin(study.candidate(number), again=number)
    assert study.counted == 1
    study.leave()
    assert held(url, name, me="next").lost() == []


def test_a_worker_that_comes_back_too_late_changes_nothing(url: str, name: str) -> None:
    """Optuna's state decides: the first end of a trial is its end, and a waiting trial is taken by one alone."""
    study = held(url, name)
    number = study.begin(order(0).candidate)
    study.hand_out(order(number))
    taken: list[bool] = []
    hands = [threading.Thread(target=lambda: taken.append(study.take_back(number))) for _ in range(6)]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    assert sum(taken) == 1
    study.give_up(number)
    study.finish(Trial(number=number, candidate=order(0).candidate, regime="full", state="failed", error="lost"))
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        study.storage.set_trial_user_attr(study._identity(number), "record", "late")
    assert [t.error for t in study.trials()] == ["lost"]
    study.leave()


def test_a_second_coordinator_is_refused_and_another_run_too(url: str, name: str) -> None:
    """One holds the study until it leaves or falls silent; a name in use is not shared between runs."""
    first = held(url, name)
    with pytest.raises(InputError, match="another coordinator works on it"):
        held(url, name, me="second")
    with pytest.raises(InputError, match="trials of another run"):
        held(url, name, me="third", run="other")
    first.leave()
    held(url, name, me="second").leave()


def test_a_coordinator_that_died_here_is_not_waited_for(url: str, name: str) -> None:
    """Its lease runs on, but its process is gone; one that lives, or that was elsewhere, is."""
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    held(url, name, me=f"{socket.gethostname()}:{gone.pid}:ab")._over.set()
    second = held(url, name, me=f"{socket.gethostname()}:{os.getpid()}:cd")
    with pytest.raises(InputError, match="another coordinator"):
        held(url, name, me="third")
    second.leave()


def test_a_resumed_coordinator_takes_over_what_is_still_elsewhere(
    url: str, name: str, crops: Path, tmp_path: Path
) -> None:
    """A trial that a worker trains while its coordinator dies is not run again: its end arrives at the next one."""
    (tmp_path / "run" / "trials").mkdir(parents=True)
    study = held(url, name)
    offered(study, crops)
    for number in range(3):
        study.begin(order(number).candidate)
        study.hand_out(order(number))
    study.leave()  # as after a kill, once its lease is over
    done: list[int] = []
    hand = threading.Thread(target=lambda: done.append(joined(url, name, crops, 0.3).serve()))
    hand.start()
    second = held(url, name, me="next")
    fleet = Fleet(WorkerPool([]), second, tmp_path / "run", local=False, note=lambda t: None, invite=lambda w: None)
    assert fleet.adopt([n for n, _ in second.interrupted()]) == {0, 1, 2}
    sleepers.search(second, fleet, 3)
    second.close()
    hand.join(60)
    second.leave()
    assert done == [3]
    assert [t.state for t in second.trials()] == ["complete"] * 3


def test_a_trial_that_waits_is_seen_again_after_a_death_on_either_side(url: str, name: str, tmp_path: Path) -> None:
    """Workers look at leases alone: one that a worker took and left, and one never written, come back."""
    study = held(url, name)
    fleet = Fleet(WorkerPool([]), study, tmp_path, local=False, note=lambda t: None, invite=lambda w: None)
    fleet._live = 1
    fleet.submit(order(study.begin(order(0).candidate)))
    assert study.database.glance(study.id, COORDINATOR) == (["trial:0"], True)
    assert study.database.take(study.id, "trial:0", "gone", 0.1)  # and dies before the trial is marked as running
    assert study.database.glance(study.id, COORDINATOR) == ([], True)
    until = time.monotonic() + 20
    while not study.database.glance(study.id, COORDINATOR)[0] and time.monotonic() < until:
        fleet.poll(lambda p: None)
    assert claim(study.database, study.id, 0, "next", 30.0)
    study.begin(order(1).candidate)
    study.hand_out(order(1))
    study.database.release(study.id, "", "trial:1")  # as if the coordinator had died before it let it be seen
    study.leave()
    second = held(url, name, me="second")
    heir = Fleet(WorkerPool([]), second, tmp_path, local=False, note=lambda t: None, invite=lambda w: None)
    assert heir.adopt([0, 1]) == {0, 1}
    assert second.database.glance(second.id, COORDINATOR) == (["trial:1"], True)
    second.leave()


def test_what_nobody_takes_runs_here(url: str, name: str, tmp_path: Path) -> None:
    """Where the last worker has left, waiting trials go to this machine's own seats."""
    (tmp_path / "trials").mkdir()
    study = held(url, name)
    number = study.begin(order(0).candidate)
    study.hand_out(order(number))
    crew = WorkerPool([sleepers.Sleeper(0.05)])
    fleet = Fleet(crew, study, tmp_path, local=True, note=lambda t: None, invite=lambda w: None)
    assert fleet.adopt([number]) == {number}
    sleepers.search(study, fleet, 1)
    study.leave()
    assert [t.state for t in study.trials()] == ["complete"]


def test_a_worker_with_other_data_or_plugins_is_refused(tmp_path: Path, name: str, crops: Path) -> None:
    """One line says what differs, on both sides."""
    url = f"sqlite:///{tmp_path}/s.db"
    study = held(url, name)
    offered(study, crops)
    other = write_crops(tmp_path / "other", each=4, seed=1)
    with pytest.raises(InputError, match=r"another data set \(fingerprint"):
        joined(url, name, other).serve()
    offered(study, crops, plugins={"pocket": "tl-advise 0.0.1"})
    with pytest.raises(InputError, match=r"plugin pocket: tl-advise .* here, tl-advise 0\.0\.1 at the coordinator"):
        joined(url, name, crops).serve()
    with pytest.raises(InputError, match="no study nowhere"):
        joined(url, "nowhere", crops).serve()
    study.leave()
    assert registry.load().plugins


def test_a_password_is_never_taken_from_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may come with TL_ADVISE_STORAGE; what is shown and written down has none."""
    with pytest.raises(InputError, match=r"process list.*TL_ADVISE_STORAGE, PGPASSWORD or PGPASSFILE"):
        address("postgresql://me:secret@server/searches")
    with pytest.raises(InputError, match="process list"):
        address("postgresql://me@server/searches?password=secret")
    monkeypatch.setenv("TL_ADVISE_STORAGE", "postgresql://me:secret@server/searches")
    assert address("postgresql://me@server/searches") == "postgresql://me:secret@server/searches"
    assert address("postgresql://me@server/others") == "postgresql://me@server/others"
    assert public("postgresql://me:secret@server/searches?password=secret") == "postgresql://me@server/searches"


def test_a_database_that_cannot_be_had_is_one_line_without_its_password(server: postgres.Server) -> None:
    """Wrong password, nobody there: what, where, what to do."""
    for wrong in (
        server.url.replace("sesame", "barley"),
        server.url.replace(str(server.port), "1"),
    ):
        with pytest.raises(InputError, match=r"cannot be opened.*TL_ADVISE_STORAGE") as told:
            Database(wrong)
        assert "sesame" not in str(told.value)
        assert "barley" not in str(told.value)
        assert "\n" not in str(told.value)


def test_an_older_schema_is_told_with_its_cure(tmp_path: Path) -> None:
    """Optuna's own tables of another version are not touched."""
    url = f"sqlite:///{tmp_path}/old.db"
    database = Database(url)
    import sqlalchemy as sa

    with database.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'v2.6.0.a'"))
    with pytest.raises(InputError, match="optuna storage upgrade"):
        Database(url)


def test_a_restart_of_the_database_is_waited_for(server: postgres.Server, name: str) -> None:
    """What was written stays, and the next write is tried again until it is there, once."""
    database = Database(server.url)
    study = SharedStudy(database, name, 0, run="run", me="me", lease_s=60.0)
    study.begin(order(0).candidate)
    server.stop()
    back = threading.Timer(3.0, server.start)
    back.start()
    number = study.begin(order(1).candidate)
    back.join()
    study.leave()
    assert number == 1
    assert len(SharedStudy(Database(server.url), name, 0, run="run", me="next", lease_s=1.0).candidates()) == 2


def test_a_lost_database_is_told_in_one_line(tmp_path: Path) -> None:
    """Going and coming are told once each; where it stays away, the search ends with what to do."""
    told: list[str] = []
    database = Database(f"sqlite:///{tmp_path}/s.db", told.append)
    failures = iter(range(5))

    def away() -> None:
        raise optuna.exceptions.StorageInternalError("gone")

    def back() -> str:
        return "back" if next(failures, None) is None else str(away())

    assert database.run(back) == "back"
    assert [line.partition(" ")[2].split(";")[0] for line in told] == ["does not answer", "answers again"]

    before = time.monotonic()
    with pytest.raises(AdviseError, match=r"lost \(gone\).*tl-advise resume"):
        database.run(away, patience_s=0.5)
    assert time.monotonic() - before < 30


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (["advise", "{crops}", "--storage", "postgresql://me:secret@localhost/x"], "process list"),
        (["advise", "{crops}", "--storage", "nonsense"], "is no URL"),
        (["advise", "{crops}", "--workers", "0"], "need a --storage"),
        (["worker", "--study", "x", "--data", "{crops}"], "no storage is named"),
        (["worker", "--storage", "sqlite:///{tmp}/s.db", "--study", "x", "--data", "{crops}"], "no study x"),
    ],
)
def test_a_call_at_fault_is_one_line_and_exit_2(crops: Path, tmp_path: Path, call: list[str], words: str) -> None:
    """What happened, what to do; no traceback, no password."""
    filled = [word.replace("{crops}", str(crops)).replace("{tmp}", str(tmp_path)) for word in call]
    done = subprocess.run(
        [sys.executable, "-m", "advisor", *filled], capture_output=True, text=True, timeout=200, env={**os.environ}
    )
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error:")
    assert words in last
    assert "secret" not in done.stderr
