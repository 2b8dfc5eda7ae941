"""A search on recorded trainings: a simulated clock, the machine's speed, and what a policy may see at every moment.

In: the rows of one cell of the table (../curves), a speed, a seed. Out: options for a policy and the time left; then what its
choice brought. The seed draws which held-out images are validation and which the test, the order of options, and by how
much costs are mistaken. Counted: the start, probes, an overhead a slice, folds, training given up as too slow, the reserve for
the refit and the end. Not counted: what the refit on all images adds. Does NOT cover: policies (policies.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import table
import training
from acquisition import Option, Remaining, Slice
from predictor import Sighting

Floats = npt.NDArray[np.float64]
BUDGET_S = 150.0
START_S, FINISH_S = 8.0, 4.0
OVERHEAD_S, HEAD_S = 0.4, 0.3  # of every slice, and of a head: Python, messages, files; as long on any machine
# A training at the sizes that people use, 128 to 224 px and some hundred steps, over a recorded one: so that on one slow core
# one to three of them fit into the budget, as in the real runs of docs/advice.md.
SCALE = 8.0
PROBE_SHARE = 0.2  # of the budget, for all probes (advisor/tuning/probes.py)
FROZEN = 1 / 3.5  # of a training step, for the forward pass of as many images
REFIT = 1.25 * 1.25  # on five fourths of the images, with the margin of advisor/tuning/cost_model.py
FOLDS, FOLDS_SHARE, SURE_AIM = 5, 0.35, 400
UNSURE, SURE = 0.3, 0.05  # deviation of a predicted cost's logarithm before and after the first training of its kind
LOOKED_AT = 0.06  # share of a training after which it is given up as too slow


@dataclass
class State:
    """What was done with one row: rungs passed, whether it may go on, what it costs as predicted over the truth."""

    rungs: int = 0
    closed: bool = False
    final: float | None = None


@dataclass(frozen=True)
class Reading:
    """The best so far, at a moment: its log-loss and accuracy on the test images."""

    at_s: float
    log_loss: float
    accuracy: float


class World:
    """One simulated search. `left_s` runs down as slices are run."""

    def __init__(
        self, rows: Sequence[table.Row], speed: float, seed: int, budget_s: float = BUDGET_S, *, probes: bool = True
    ) -> None:
        self.seed = seed
        self.generator = np.random.default_rng([seed, round(1000 * speed)])
        self.rows = [rows[i] for i in self.generator.permutation(len(rows))]
        self.speed, self.budget_s = speed, budget_s
        self._split()
        self.states = [State() for _ in self.rows]
        self.used_s = START_S
        self.known_pace: set[tuple[str, str]] = set()
        self.mistakes = {
            kind: float(np.exp(UNSURE * self.generator.standard_normal()))
            for kind in sorted({(r.regime, r.candidate.backbone) for r in self.rows})
        }
        self.small = np.exp(SURE * self.generator.standard_normal(len(self.rows)))
        self.readings: list[Reading] = []
        self.best_loss = math.inf  # on validation
        self.best_test: tuple[float, float] | None = None
        self.floors: dict[tuple[str, int], float] = {}
        if probes:
            self._probe()

    # ---- what a policy sees --------------------------------------------------------------------------------------

    @property
    def left_s(self) -> float:
        """Seconds of the budget that are left."""
        return self.budget_s - self.used_s

    @property
    def remaining(self) -> Remaining:
        """The time left, as a policy sees it."""
        return Remaining(left_s=self.left_s, asked_s=self.budget_s)

    def options(self) -> list[Option]:
        """List every candidate that may be trained on, in the order of `numbers`."""
        return [self._option(i) for i in self.numbers()]

    def numbers(self) -> list[int]:
        """List the rows that may go on, at places that were probed."""
        return [
            i
            for i, (r, s) in enumerate(zip(self.rows, self.states, strict=True))
            if not s.closed and r.place in self.floors
        ]

    def seen(self) -> list[Sighting]:
        """List the trainings that ended."""
        return [
            r.sighting(self.floors[r.place], final=s.final)
            for r, s in zip(self.rows, self.states, strict=True)
            if s.final is not None
        ]

    def folds(self, number: int) -> int:
        """Return on how many folds a row is scored: the rule of advisor/tuning/cost_model.py."""
        row = self.rows[number]
        folds = min(FOLDS, -(-SURE_AIM // max(1, row.pool // FOLDS)))
        one, room = self._predicted_s(number, 1.0), FOLDS_SHARE * self.left_s
        while folds > 1 and folds * one > room:
            folds -= 1
        return folds

    # ---- what a policy does --------------------------------------------------------------------------------------

    def run(self, number: int, until: float) -> None:
        """Train a row until this share of its steps, the clock running; on all of its folds where that is its end."""
        row, state = self.rows[number], self.states[number]
        folds = self.folds(number) if row.steps else 1
        rung = max(k for k, share in enumerate(row.shares) if share <= until + 1e-9) + 1
        taken = self.true_s(number, row.shares[rung - 1]) - self.true_s(
            number, row.shares[state.rungs - 1] if state.rungs else 0.0
        )
        if rung == len(row.shares):
            taken += (folds - 1) * self.true_s(number, 1.0)
        self.known_pace.add((row.regime, row.candidate.backbone))
        whole = folds * self.true_s(number, 1.0)
        if row.steps and not state.rungs and whole + self._finish_s(number) > 1.08 * self.left_s:
            self.used_s += OVERHEAD_S + LOOKED_AT * whole
            state.closed = True
            return
        self.used_s += taken + (OVERHEAD_S if row.steps else 0.0)
        state.rungs = rung
        if rung == len(row.shares):
            state.closed, state.final = True, self.validated(number, folds)
            self.keep(state.final, self.tests[number])

    # ---- facts ---------------------------------------------------------------------------------------------------

    def regret(self) -> tuple[float, float]:
        """Return how far the chosen row is behind the best one of the cell, on the test: log-loss, and accuracy."""
        losses, accuracies = zip(*self.tests, strict=True)
        chosen = self.best_test or (max(losses), min(accuracies))
        return chosen[0] - min(losses), max(accuracies) - chosen[1]

    def at(self, time_s: float) -> float:
        """Return the regret in log-loss at a moment."""
        lowest = min(t[0] for t in self.tests)
        before = [r.log_loss for r in self.readings if r.at_s <= time_s]
        return (before[-1] if before else max(t[0] for t in self.tests)) - lowest

    def _split(self) -> None:
        held = self.rows[0].losses.shape[1]
        order = self.generator.permutation(held)
        pool = self.rows[0].pool
        self.validation = order[: min(pool, held // 2)]
        self.test = order[len(self.validation) :]
        self.each = max(1, min(pool // FOLDS, len(self.validation)))
        self.tests = [self.tested(number) for number in range(len(self.rows))]

    def _probe(self) -> None:
        """Probe the places, cheapest first, within their share of the budget; at least one."""
        spent = 0.0
        losses = [float(r.losses[-1][self.validation].mean()) for r in self.rows]
        every = table.floors(self.rows, losses)
        for at in sorted(every, key=lambda p: training.STEP_S[p]):
            cost = HEAD_S + self.pass_s(at)
            if spent and spent + cost > PROBE_SHARE * self.budget_s:
                continue
            spent += cost
            self.used_s += cost
            self.floors[at] = every[at]
            for number, row in enumerate(self.rows):
                if row.is_probe and row.place == at:
                    self.states[number] = State(rungs=1, closed=True, final=losses[number])
                    self.keep(losses[number], self.tests[number])

    def pass_s(self, at: tuple[str, int]) -> float:
        """Return the seconds of a frozen pass over the pool."""
        return SCALE * FROZEN * training.STEP_S[at] / 32 * self.rows[0].pool / self.speed

    def validated(self, number: int, folds: int, rung: int = -1) -> float:
        """Return a row's log-loss at a rung on the validation images of so many folds; of a head on all of them."""
        row = self.rows[number]
        n = len(self.validation) if not row.steps else min(len(self.validation), folds * self.each)
        return float(row.losses[rung][self.validation[:n]].mean())

    def tested(self, number: int, rung: int = -1) -> tuple[float, float]:
        """Return a row's log-loss and accuracy at a rung on the test images."""
        row = self.rows[number]
        return float(row.losses[rung][self.test].mean()), float(row.right[rung][self.test].mean())

    def keep(self, loss: float, test: tuple[float, float]) -> None:
        """Record a score on validation, and on the test: the best on validation is what the search has."""
        if loss < self.best_loss:
            self.best_loss, self.best_test = loss, test
        if self.best_test is not None:
            self.readings.append(Reading(self.used_s, *self.best_test))

    def choose(self, test: tuple[float, float]) -> None:
        """Record a winner that was chosen otherwise, with its scores on the test."""
        self.best_test = test
        self.readings.append(Reading(self.used_s, *test))

    def true_s(self, number: int, share: float) -> float:
        """Return the seconds of training one fold until this share of its steps; of a head, fitting it."""
        row = self.rows[number]
        if not row.steps:
            return HEAD_S + 3 * row.steps_s / min(self.speed, 4.0)
        rungs = sum(1 for s in row.shares if s <= share + 1e-9)
        return SCALE * (row.steps_s * share + row.score_s * rungs * row.pool / FOLDS / row.losses.shape[1]) / self.speed

    def _predicted_s(self, number: int, share: float) -> float:
        row = self.rows[number]
        kind = (row.regime, row.candidate.backbone)
        mistake = 1.0 if kind in self.known_pace or not row.steps else self.mistakes[kind]
        return mistake * float(self.small[number]) * self.true_s(number, share)

    def _finish_s(self, number: int) -> float:
        row = self.rows[number]
        return FINISH_S + (REFIT * self._predicted_s(number, 1.0) if row.steps else 0.0)

    def _option(self, number: int) -> Option:
        row, state = self.rows[number], self.states[number]
        folds = self.folds(number) if row.steps else 1
        done = self._predicted_s(number, row.shares[state.rungs - 1]) if state.rungs else 0.0
        rungs_s = [(s, OVERHEAD_S + self._predicted_s(number, s) - done) for s in row.shares[state.rungs :]]
        rungs_s[-1] = (1.0, rungs_s[-1][1] + (folds - 1) * self._predicted_s(number, 1.0))
        sighting = row.sighting(self.floors[row.place])
        if state.rungs:
            k = state.rungs - 1
            loss = float(row.losses[k][self.validation[: self.each]].mean()) * row.raw_over_scaled[k]
            sighting = replace(sighting, share=row.shares[k], loss=loss)
        return Option(sighting=sighting, rungs_s=tuple(rungs_s), finish_s=self._finish_s(number))


def search(world: World, policy: object) -> World:
    """Search by a policy until it proposes nothing more or the time is over."""
    while world.left_s > FINISH_S:
        numbers = world.numbers()
        chosen: Slice | None = policy.next(world.options(), world.seen(), world.remaining)  # type: ignore[attr-defined]
        if chosen is None:
            break
        world.run(numbers[chosen.position], chosen.until)
    return world
