"""Record learning curves: every row is one training of one candidate, scored at a few rungs on the same held-out images.

    nice -n 19 python benchmarks/curves/record.py --data DIR --to curves.jsonl [--work DIR] [--rounds 40]

In: the shared data sets, unpacked below DIR. Out: one JSON line a training, appended as it ends, so that a later call goes
on behind it. Trainings are the strategies' first guesses and draws from their own spaces, over all data sets, three sizes,
three networks and small input sizes; each is shortened to a few seconds of CPU time. Does NOT cover: what is learned from
the rows (fit.py), the replay of searches (../search/simulate.py).
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import tempfile
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import training

from advisor import registry
from advisor.data import dataset, subsample
from advisor.execution import worker
from advisor.execution.resources import Resources
from advisor.hooks import Context, Strategy
from advisor.records import Candidate, Item, Settings
from advisor.tuning import candidates

SETS = {
    "hymenoptera": ("hymenoptera", (70, 140, 240)),
    "sketch": ("pacs/sketch", (70, 200, 600)),
    "photo": ("pacs/photo", (70, 200, 600)),
    "five_flowers": ("five_flowers", (70, 200, 600)),
    "cifar10": ("cifar10/test", (70, 200, 600)),
    "flowers102": ("flowers102", (204, 408, 816)),
}
PLACES = (
    ("squeezenet1_1", 48),
    ("squeezenet1_1", 64),
    ("pocket", 32),
    ("pocket", 48),
    ("mobilenet_v2", 32),
    ("mobilenet_v2", 64),
)
WEIGHTS = (4.0, 3.0, 2.0, 0.5, 0.5, 0.5)  # of the places among the draws, best probe first
GUESSED = 2  # places of the best probes, at which the first guesses train
TRAIN_SHARE = 0.8  # of the pool, on which a fold trains
HELD_OUT = {70: 240}  # images that score every training of a cell, by pool; others: OTHER_HELD_OUT
OTHER_HELD_OUT = 200
LATE, SMALL_POOL = 2, 150  # rounds before the smallest pools join, where training seldom pays
EACH_ROUND = 5  # trainings of one cell before the next cell's turn
MANY_GUESSES = {
    "full": 3,
    "partial": 2,
    "logistic": 3,
    "ridge": 2,
}  # first guesses of one strategy that are recorded; others: 1
LIMITS_S = (0.8, 1.2, 2.0, 3.0, 6.0)  # CPU seconds of one training, drawn


class RandomSpace:
    """Draws a strategy's parameters at random, with the interface of an Optuna trial."""

    def __init__(self, generator: random.Random) -> None:
        self._generator = generator

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Draw a number in [low, high]."""
        if log:
            return float(np.exp(self._generator.uniform(np.log(low), np.log(high))))
        return self._generator.uniform(low, high)

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Draw a whole number in [low, high]."""
        return self._generator.randint(low, high)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Draw one of `choices`."""
        return self._generator.choice(list(choices))


class Cell:
    """One data set at one size: its images, opened once, and the candidates to train on them."""

    def __init__(self, name: str, pool: int, items: Sequence[Item], data_set: Any, work: Path) -> None:
        self.name, self.pool = name, pool
        train = subsample.stratified(items, round(TRAIN_SHARE * pool))
        chosen = {id(i) for i in train}
        held = subsample.stratified([i for i in items if id(i) not in chosen], HELD_OUT.get(pool, OTHER_HELD_OUT))
        settings = Settings(data=data_set.root, seed=0, threads=1, offline=True)
        job = worker.open_job(settings, work, data_set, (*train, *held))
        self.resources = Resources(job, registry.load(), lambda what, done, total: None)
        self.probes: dict[tuple[str, int], float] = {}  # log-loss of the best ridge head at each place
        self.rows = np.arange(len(train))
        self.held = np.arange(len(train), len(train) + len(held))

    def learn(self, row: dict[str, Any]) -> None:
        """Record a row of this cell: probes decide where trainings are drawn."""
        if row["strategy"] == "ridge" and "error" not in row:
            setting = (row["backbone"], row["size_px"])
            self.probes[setting] = min(self.probes.get(setting, np.inf), row["log_loss"][-1])

    def strategies(self) -> dict[str, Strategy]:
        """Return the strategies that compete without being named."""
        return candidates.selectable(self.resources.registry.strategies, (), None)

    def context(self, backbone: str, size_px: int) -> Context:
        """Return what a strategy may know of this cell."""
        return self.resources.context(self.resources.registry.backbone(backbone), self.rows, size_px)

    def heads(self) -> Iterator[Candidate]:
        """List the heads on frozen features: the first guesses of every strategy that trains nothing, at every place.

        Those that also look at mirror images are left out: a second pass over all images, for a gain that is known.
        """
        for setting in PLACES:
            yield from (c for c in self._guesses(*setting, frozen=True) if not c.parameters.get("mirror"))

    def _guesses(self, backbone: str, size_px: int, *, frozen: bool) -> Iterator[Candidate]:
        context = self.context(backbone, size_px)
        for name, strategy in sorted(self.strategies().items()):
            if (strategy.regime == "feature_extraction") == frozen and strategy.applies(context) is None:
                yield from candidates.guesses(
                    {name: strategy}, context, backbone=backbone, size_px=size_px, each=MANY_GUESSES.get(name, 1)
                )

    def trainings(self) -> Iterator[tuple[Candidate, float]]:
        """Yield candidates that train, with CPU seconds to spend: guesses and draws in turn, mostly where probes lead."""
        generator = random.Random(f"{self.name} {self.pool}")
        places = sorted(PLACES, key=lambda p: self.probes.get(p, np.inf))
        guesses = [c for p in places[:GUESSED] for c in self._guesses(*p, frozen=False)]
        generator.shuffle(guesses)
        names = sorted(n for n, s in self.strategies().items() if s.regime != "feature_extraction")
        while True:
            if guesses:
                yield guesses.pop(), generator.choice(LIMITS_S)
            backbone, size_px = generator.choices(places, WEIGHTS)[0]
            context = self.context(backbone, size_px)
            strategy = self.strategies()[generator.choice(names)]
            parameters = dict(strategy.space(RandomSpace(generator), context))
            drawn = Candidate(backbone=backbone, strategy=strategy.name, parameters=parameters, size_px=size_px)
            limit_s = generator.choice(LIMITS_S)
            if strategy.applies(context) is None:
                yield replace(drawn, origin="sampled"), limit_s


def read_cells(data: Path, work: Path, only: Sequence[str]) -> list[Cell]:
    """Open every data set at every size, small ones first."""
    cells = []
    for name, (folder, pools) in SETS.items():
        if only and name not in only:
            continue
        data_set = dataset.read(data / folder)
        items = data_set.items if len(data_set.items) <= 10_000 else subsample.stratified(data_set.items, 4_000)
        cells += [Cell(name, pool, items, data_set, work) for pool in pools]
    return sorted(cells, key=lambda c: (c.pool < SMALL_POOL, c.pool))


def key(name: str, pool: int, candidate: Candidate) -> str:
    """Name a training: the same call later skips it."""
    parameters = {k: round(v, 9) if isinstance(v, float) else v for k, v in candidate.parameters.items()}
    facts = [name, pool, candidate.backbone, candidate.size_px, candidate.strategy, parameters]
    return json.dumps(facts, sort_keys=True)


def record(cell: Cell, candidate: Candidate, limit_s: float, pace: training.Pace) -> dict[str, Any]:
    """Train one candidate and return its row; one that fails is a row with its error."""
    regime = cell.resources.registry.strategy(candidate.strategy).regime
    row: dict[str, Any] = {
        "key": key(cell.name, cell.pool, candidate),
        "data": cell.name,
        "pool": cell.pool,
        "classes": cell.resources.classes,
        "train": len(cell.rows),
        "held": len(cell.held),
        "backbone": candidate.backbone,
        "size_px": candidate.size_px,
        "strategy": candidate.strategy,
        "regime": regime,
        "origin": candidate.origin,
    }
    try:
        if regime == "feature_extraction":
            measured = training.fit_head(cell.resources, candidate, cell.rows, cell.held)
        else:
            candidate = training.shortened(cell.resources, candidate, cell.rows, limit_s, pace)
            measured = training.train(cell.resources, candidate, cell.rows, cell.held)
            pace.learn(cell.resources, candidate, cell.rows, measured)
        return {**row, "parameters": dict(candidate.parameters), **measured}
    except Exception as error:  # one candidate that fails is a fact about it, and not the recording's end
        traceback.print_exc()
        return {**row, "parameters": dict(candidate.parameters), "error": f"{type(error).__name__}: {error}"[:300]}


def record_all(
    cell: Cell, work: Iterable[tuple[Candidate, float]], done: set[str], pace: training.Pace, book: TextIO
) -> None:
    """Record those of the candidates that were not recorded before, each row written as it ends."""
    for candidate, limit_s in work:
        if key(cell.name, cell.pool, candidate) in done:
            continue
        row = record(cell, candidate, limit_s, pace)
        cell.learn(row)
        book.write(json.dumps(row) + "\n")
        book.flush()
        words = (row["data"], row["pool"], row["backbone"], row["size_px"], row["strategy"])
        print(*words, row.get("log_loss"), row.get("cpu_s"), row.get("error", ""), flush=True)


def main() -> int:
    """Record what is missing, a few trainings of each cell in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="where the data sets are unpacked")
    parser.add_argument("--to", type=Path, required=True, help="the file of rows")
    parser.add_argument("--only", action="append", default=[], help="a data set (repeatable)")
    parser.add_argument("--rounds", type=int, default=40, help=f"of {EACH_ROUND} trainings a cell")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "tl-advise-curves")
    args = parser.parse_args()
    (args.work / "trials").mkdir(parents=True, exist_ok=True)
    args.to.parent.mkdir(parents=True, exist_ok=True)
    lines = args.to.read_text(encoding="utf-8").splitlines() if args.to.exists() else []
    rows = [json.loads(line) for line in lines]
    done = {row["key"] for row in rows}
    pace = training.Pace.read(rows)
    cells = read_cells(args.data, args.work, args.only)
    for cell in cells:
        for row in rows:
            if (row["data"], row["pool"]) == (cell.name, cell.pool):
                cell.learn(row)
    queues = [cell.trainings() for cell in cells]
    with args.to.open("a", encoding="utf-8") as book:
        for turn in range(args.rounds):
            for cell, queue in zip(cells, queues, strict=True):
                first = LATE if cell.pool < SMALL_POOL else 0
                work = [(c, 0.0) for c in cell.heads()] if turn == first else []
                if turn >= first:
                    record_all(cell, itertools.chain(work, itertools.islice(queue, EACH_ROUND)), done, pace, book)
    return 0


if __name__ == "__main__":
    sys.exit(main())
