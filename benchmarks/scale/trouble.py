"""A search in trouble: a random worker is killed every few seconds, and the database is restarted once."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import postgres
import sleepers
from ground import SPAWN, fleet_of, offered, work, write
from photos import write_crops

from advisor.tuning.distributed.database import Database
from advisor.tuning.distributed.shared_study import SharedStudy

LEASE_S = 5.0
TRIALS, WORKERS = 40, 4
EVERY_S, RESTART_AT, AWAY_S = 4.0, 3, 3.0  # a kill; the database goes with the third, and is away so long


class Trouble:
    """Workers that are hired and killed while a search goes on, in a thread of its own."""

    def __init__(self, server: postgres.Server, data: Path, each_s: float) -> None:
        self.server = server
        self.call = (server.url, "faults", str(data), each_s, True)
        self.hands: list[Any] = []
        self.killed = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        for _ in range(WORKERS):
            self._hire()
        self._thread.start()

    def end(self) -> None:
        """Kill nobody any more."""
        self._over.set()
        self._thread.join()

    def _hire(self) -> None:
        hand = SPAWN.Process(target=work, args=self.call, daemon=True)
        hand.start()
        self.hands.append(hand)

    def _run(self) -> None:
        draws = random.Random(0)
        while not self._over.wait(EVERY_S):
            victim = draws.choice([h for h in self.hands if h.is_alive()])
            os.kill(victim.pid, signal.SIGKILL)
            self.killed += 1
            self._hire()
            if self.killed == RESTART_AT:
                self.server.stop()
                time.sleep(AWAY_S)
                self.server.start()


def faults(each_s: float) -> None:
    """Search in trouble: all trials must end, none twice."""
    server = postgres.Server().start()
    told: list[str] = []
    ended: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        data = write_crops(Path(folder) / "crops", each=4)
        study = SharedStudy(Database(server.url, told.append), "faults", 0, run="r", me="c", lease_s=LEASE_S)
        offered(study, data)
        trouble = Trouble(server, data, each_s)
        began = time.monotonic()
        sleepers.search(study, fleet_of(study, Path(folder)), TRIALS, on_end=lambda end: ended.append(end.order.number))
        seconds = time.monotonic() - began
        trouble.end()
        study.close()
        for hand in trouble.hands:
            hand.join(30)
        study.leave()
        write(
            "faults",
            {"seconds": round(seconds, 1), **outcome(study, ended), "workers_killed": trouble.killed, "notes": told},
        )
    server.remove()


def outcome(study: SharedStudy, ended: list[int]) -> dict[str, int]:
    """Count what became of the trials."""
    complete = [t for t in study.trials() if t.state == "complete"]
    return {
        "restarts": 1,
        "trials_begun": len(study.candidates()),
        "complete": len(complete),
        "lost_and_begun_again": len(study.candidates()) - study.counted,
        "failed_for_good": study.counted - len(complete),
        "told_twice": len(ended) - len(set(ended)),
    }
