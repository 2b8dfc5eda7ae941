"""The product's own search on recorded trainings: `SearchPolicy` decides, the world answers with what was recorded.

In: a `World` without probes. Out: the same world after the search. The order of probes, the untuned default, the portfolio,
expectations, predicted costs, folds, shortening, pausing, promotions, patience and the end are the product's functions,
on request the verdict, too. Replayed with a difference: a first guess is one that was recorded, a sample is one of the
recorded draws instead of the estimator's, a shortened training is read off its curve at the nearest rung, a longer one is
tried only where one was recorded, and a leader is re-evaluated on more images by the model that was recorded, where the
product trains another. Not replayed: the refit, the ensemble.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from recorded_choices import description, facts_of
from world import HEAD_S, LOOKED_AT, OVERHEAD_S, World

from advisor.data.splits import FOLDS
from advisor.hooks import Strategy
from advisor.records import Candidate, Curve, FoldScore, Trial
from advisor.records.trials import REGIMES, regime_name
from advisor.selection import verdict
from advisor.tuning import budget, cost_model, epoch_budget, expected_loss, policy, pruner
from advisor.tuning.candidates import BackboneAtSize
from advisor.tuning.decisions.portfolio import MeasurePace
from advisor.tuning.decisions.search_policy import MakeProbe, SearchPolicy
from advisor.tuning.search_run import is_default
from advisor.tuning.search_state import SearchState
from advisor.tuning.trials.study import key

LENIENT = 1.08  # over its limit, before a training is given up (advisor/execution/timing.py)
NEAR = 0.35  # difference of the logarithm of lengths within which a recorded training stands for a longer one


class Replay:
    """One search of the product on a world: what is known, and what its steps bring."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.speeds = budget.MeasuredSpeeds()
        self.probes: list[Trial] = []
        self.begun: list[Candidate] = []
        self.trials: dict[int, Trial] = {}
        self.read: dict[int, tuple[int, int]] = {}  # the row and its rung that stand for a trial or probe
        self.again: dict[int, int] = {}  # on how many other folds a trial was re-evaluated
        self.facts = facts_of(world)
        self.shapes = {name: description(name) for name in self.facts.sizes}
        self.numbers = {key(row.candidate): i for i, row in enumerate(world.rows)}

    def state(self) -> SearchState:
        """Return what is known at this moment."""
        trials = tuple(self.trials[n] for n in sorted(self.trials))
        first = self.trials.get(0)
        return SearchState(
            **vars(self.facts),
            backbones=self.shapes,
            probes=tuple(self.probes),
            trials=trials,
            begun=tuple(self.begun),
            tried_keys=frozenset(key(c) for c in self.begun),
            default=first if first is not None and is_default(first) else None,
            speeds=self.speeds,
            left_s=self.world.left_s,
        )

    def draw(
        self, at: Sequence[BackboneAtSize], usable: Mapping[str, Strategy], state: SearchState, attempt: int
    ) -> Candidate:
        """Return the first recorded draws that were not tried, in the world's order."""
        fresh = [
            row.candidate
            for row in self.world.rows
            if row.candidate.origin == "sampled"
            and BackboneAtSize.of(row.candidate) in at
            and row.candidate.strategy in usable
            and not state.tried(row.candidate)
        ]
        return fresh[min(attempt, len(fresh) - 1)] if fresh else state.begun[0]

    def probe(self, step: MakeProbe) -> None:
        """Score the recorded probes of a network and size."""
        setting = (step.at.name, step.at.size_px)
        pass_s = self.world.pass_s(setting)
        self.world.used_s += pass_s + HEAD_S
        self.speeds.observe_pass(step.at.name, step.card_s, pass_s)
        for number, row in enumerate(self.world.rows):
            if row.is_probe and row.place == setting:
                trial = self._scored(-1 - len(self.probes), replace(row.candidate, origin="probe"), number, FOLDS, -1)
                self.probes.append(replace(trial, seconds=HEAD_S))

    def time(self, candidate: Candidate) -> None:
        """Time a few steps of a training."""
        state = self.state()
        count, at = epoch_budget.steps_to_time(state, candidate), self._recorded(candidate)
        if not count or at is None:
            return
        whole_s = self.world.true_s(at[0], 1.0)
        self.world.used_s += whole_s * min(1.0, (policy.TIMED_WARMUP_STEPS + policy.TIMED_STEPS) / count)
        cost_model.observe_training(self.speeds, state, candidate, 1, whole_s)

    def trial(self, candidate: Candidate) -> Trial:
        """Begin a trial and run it to its end."""
        number, state = len(self.begun), self.state()
        probe = state.probe_of(candidate)
        self.begun.append(candidate)
        if probe is not None:
            self.trials[number] = replace(probe, number=number, candidate=candidate)
            self.read[number] = self.read[probe.number]
            return self.trials[number]
        at = self._recorded(candidate)
        trial = self._failed(number, candidate) if at is None else self._run(state, number, candidate, *at)
        taken_s, folds = (trial.seconds, len(trial.scores)) if trial.state == "complete" else (trial.needs_s, 1)
        if state.trains_backbone(candidate) and taken_s and candidate.continues is None:
            cost_model.observe_training(self.speeds, state, candidate, folds, taken_s)
        self.trials[number] = trial
        return trial

    def reevaluate(self) -> None:
        """Score the leaders that train on other folds, as many as the time allows (advisor/selection/rescoring.py).

        Heads were scored on all of the validation images that there are.
        """
        state, world = self.state(), self.world
        for trial in sorted(state.contenders(), key=lambda t: t.rank)[: policy.LEADERS]:
            row, rung = self.read[trial.number]
            if trial.steps:
                one_s = world.true_s(row, world.rows[row].shares[rung])
                room_s = max(0.0, world.left_s - cost_model.reserve_s(state, trial.candidate))
                self.again[trial.number] = min(FOLDS, int(room_s / one_s))
                world.used_s += self.again[trial.number] * one_s

    def judge(self) -> None:
        """Choose the winner by the product's verdict, on the validation images that every contender was scored on."""
        state, world = self.state(), self.world
        contenders = state.contenders()
        published = {name: state.registry.backbone(name).published_accuracy for name in state.sizes}
        losses = {t.number: self._on_validation(t, world.rows[self.read[t.number][0]].losses) for t in contenders}
        right = {t.number: self._on_validation(t, world.rows[self.read[t.number][0]].right) for t in contenders}
        chosen = verdict.judge(
            contenders,
            losses,
            state.default.number if state.default is not None else None,
            {t.number: float(REGIMES.index(t.regime)) for t in contenders},
            errors={number: 1.0 - values for number, values in right.items()},
            expected={
                t.number: (
                    expected_loss.expected(t.candidate, t.regime, t.steps, state.probes, (), published),
                    len(t.scores),
                )
                for t in contenders
                if t.steps
            },
        )
        world.choose(world.tested(*self.read[chosen.winner]))

    def _on_validation(self, trial: Trial, values: Any) -> Any:
        """Return a row's values on the validation images, nan on those of folds that it was not scored on."""
        own = values[self.read[trial.number][1]][self.world.validation].astype(float)
        if trial.steps:  # re-evaluated from the other end, so that most of these images are new
            first, again = (folds * self.world.each for folds in (len(trial.scores), self.again.get(trial.number, 0)))
            own[first : max(first, len(own) - again)] = np.nan
        return own

    def _run(self, state: SearchState, number: int, candidate: Candidate, row: int, rung: int) -> Trial:
        shares = self.world.rows[row].shares
        one_s = self.world.true_s(row, shares[rung])
        if not self.world.rows[row].steps:
            self.world.used_s += one_s
            return replace(self._scored(number, candidate, row, FOLDS, rung), seconds=one_s)
        reserve_s = cost_model.reserve_s(state, candidate, refit=cost_model.fits_time(state, candidate))
        limit_s = LENIENT * max(1.0, state.left_s - reserve_s)
        if one_s > limit_s:
            self.world.used_s += OVERHEAD_S + LOOKED_AT * one_s
            return replace(self._failed(number, candidate), needs_s=one_s)
        limits = pruner.pause_thresholds(state.trials, policy.PAUSE_RUNGS)
        begun_s = self._continued_s(candidate, row)
        curve = tuple(self.world.validated(row, 1, k) for k in range(len(shares))[-3:]) if rung == -1 else ()
        for position, percent in enumerate(policy.PAUSE_RUNGS if len(curve) == 3 else ()):
            if curve[position] > limits.get(percent, float("inf")):
                spent_s = max(0.0, self.world.true_s(row, shares[position - 3]) - begun_s)
                self.world.used_s += OVERHEAD_S + spent_s
                paused = self._scored(number, candidate, row, 1, position - 3, keep=False)
                return replace(paused, state="pruned", curve=Curve(log_loss=curve[: position + 1]), seconds=spent_s)
        folds = max(1, min(len(cost_model.folds_for(state, candidate)), int(limit_s / one_s)))
        taken_s = folds * one_s - begun_s
        self.world.used_s += OVERHEAD_S + taken_s
        ended = self._scored(number, candidate, row, folds, rung)
        return replace(ended, curve=Curve(log_loss=curve), seconds=taken_s)

    def _continued_s(self, candidate: Candidate, row: int) -> float:
        """Return the seconds that the paused trial which this one continues has spent."""
        if candidate.continues is None:
            return 0.0
        passed = len(self.trials[candidate.continues].curve.losses)
        return self.world.true_s(row, self.world.rows[row].shares[passed - 4])

    def _recorded(self, candidate: Candidate) -> tuple[int, int] | None:
        """Return the row that stands for a candidate, and the rung at which it is read; None where none was recorded."""
        number = self.numbers.get(key(candidate))
        if number is not None:
            return number, -1
        asked = float(candidate.parameters.get("epochs", 0.0))
        rows = [(i, r) for i, r in enumerate(self.world.rows) if _alike(r.candidate, candidate)]
        for number, row in rows:
            share = asked / float(row.candidate.parameters["epochs"])
            if share <= 1 and _settings(row.candidate) == _settings(candidate):
                return number, min(range(-len(row.shares), 0), key=lambda k: abs(row.shares[k] - share))
        near = [(i, r) for i, r in rows if abs(_length(r.candidate) / asked - 1) < NEAR]
        return (min(near, key=lambda pair: abs(_length(pair[1].candidate) / asked - 1))[0], -1) if near else None

    def _scored(
        self, number: int, candidate: Candidate, row: int, folds: int, rung: int, *, keep: bool = True
    ) -> Trial:
        recorded = self.world.rows[row]
        self.read[number] = row, rung
        loss, (_, accuracy) = self.world.validated(row, folds, rung), self.world.tested(row, rung)
        if keep:
            self.world.keep(loss, self.world.tested(row, rung))
            self.world.states[row].final = loss
        each = self.world.each
        return Trial(
            number=number,
            candidate=candidate,
            regime=regime_name(recorded.regime),
            state="complete",
            scores=tuple(
                FoldScore(fold=f, repeat=0, seed=0, n=each, accuracy=accuracy, log_loss=loss) for f in range(folds)
            ),
            steps=round(recorded.steps * recorded.shares[rung]),
        )

    def _failed(self, number: int, candidate: Candidate) -> Trial:
        name = regime_name(self.facts.strategy_of(candidate).regime)
        return Trial(number=number, candidate=candidate, regime=name, state="failed", error="not recorded")


def search(world: World, *, judged: bool = False) -> Replay:
    """Search by the product's policy until it proposes nothing more or the time is over; return what it did.

    The lowest validation loss wins, as with the other policies; with `judged` the leaders are re-evaluated and the product's
    verdict chooses.
    """
    replay = Replay(world)
    decide = SearchPolicy(replay.facts, [replay.facts.registry.backbone(n) for n in replay.facts.sizes], replay.draw)
    while (probe := decide.next_probe(replay.state())) is not None:
        replay.probe(probe)
    while world.left_s > 0 and (step := decide.next(replay.state(), idle=True)) is not None:
        if isinstance(step, MakeProbe):
            replay.probe(step)
        elif isinstance(step, MeasurePace):
            replay.time(step.candidate)
        else:
            proposer = decide.proposer(replay.state())
            proposer.begun(len(replay.begun))
            proposer.ended(replay.trial(step.candidate))
    if judged:
        replay.reevaluate()
        replay.judge()
    return replay


def _alike(recorded: Candidate, asked: Candidate) -> bool:
    """Return True for trainings of one strategy on the same network and size whose length is a number of epochs."""
    same = (recorded.strategy, *BackboneAtSize.of(recorded)) == (asked.strategy, *BackboneAtSize.of(asked))
    return same and "epochs" in recorded.parameters and "epochs" in asked.parameters


def _settings(candidate: Candidate) -> dict[str, Any]:
    return {name: value for name, value in candidate.parameters.items() if name != "epochs"}


def _length(candidate: Candidate) -> float:
    return float(candidate.parameters["epochs"])
