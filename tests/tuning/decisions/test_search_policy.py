"""A search as steps decided from a snapshot: probes, the untuned default, paces, trials; the same on any clock."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pytest
import searches

from advisor.hooks import Strategy
from advisor.records import Candidate, FoldScore, Trial
from advisor.records.trials import DEFAULT
from advisor.tuning.candidates import BackboneAtSize
from advisor.tuning.decisions.portfolio import MeasurePace
from advisor.tuning.decisions.search_policy import BeginTrial, MakeProbe, SearchPolicy
from advisor.tuning.search_state import SearchState
from advisor.tuning.trials.study import key


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchState]:
    """A search on 48 crops before its first probe; heads and full fine-tuning are allowed, at two sizes."""
    with searches.on_crops(tmp_path_factory.mktemp("policy")) as run:
        run.describe(["pocket"])
        state = run.state()
        strategies = {n: state.registry.strategies[n] for n in ("ridge", "logistic", "full")}
        yield replace(state, strategies=strategies, sizes={"pocket": (64, 96)}, left_s=500.0)


def same(at: Sequence[BackboneAtSize], usable: Mapping[str, Strategy], state: SearchState, attempt: int) -> Candidate:
    """Draw what was tried already, so that nothing is sampled."""
    return state.begun[0]


def ended(candidate: Candidate, number: int, loss: float) -> Trial:
    """A complete trial or probe."""
    score = FoldScore(fold=0, repeat=0, seed=0, n=10, accuracy=0.5, log_loss=loss)
    steps = 60 if candidate.strategy == "full" else 0
    regime = "full" if steps else "feature_extraction"
    return Trial(
        number=number, candidate=candidate, regime=regime, state="complete", scores=(score,), steps=steps, seconds=0.1
    )


def search(state: SearchState) -> tuple[list[str], SearchState]:
    """Do what is decided, each head with a loss of 1 and each training with 0.8, and return the kinds of the steps."""
    decide = SearchPolicy(state, [state.registry.backbone("pocket")], same)
    kinds: list[str] = []
    while (probe := decide.next_probe(state)) is not None:
        kinds.append("probe")
        ridge = Candidate(backbone=probe.at.name, strategy="ridge", parameters={}, size_px=probe.at.size_px)
        state = replace(state, probes=(*state.probes, ended(ridge, -1 - len(state.probes), 1.0)))
    while (step := decide.next(state, idle=True)) is not None:
        assert not isinstance(step, MakeProbe)
        kinds.append("pace" if isinstance(step, MeasurePace) else step.candidate.strategy)
        if isinstance(step, BeginTrial):
            number, loss = len(state.begun), 0.8 if step.candidate.strategy == "full" else 1.0
            trial = ended(step.candidate, number, loss)
            decide.proposer(state).begun(number)
            decide.proposer(state).ended(trial)
            state = replace(
                state,
                begun=(*state.begun, step.candidate),
                tried_keys=state.tried_keys | {key(step.candidate)},
                trials=(*state.trials, trial),
                left_s=state.left_s - 1.0,
            )
    return kinds, state


def test_probes_come_first_then_the_default_then_heads_then_a_training_whose_pace_was_measured(
    fresh: SearchState,
) -> None:
    """The order of a search under a budget."""
    kinds, state = search(fresh)
    assert kinds[:2] == ["probe", "probe"]
    assert state.begun[0].origin == DEFAULT
    first = kinds.index("full")
    assert kinds[first - 1] == "pace"
    assert set(kinds[2 : first - 1]) <= {"ridge", "logistic"}


@pytest.mark.parametrize(("left_s", "probes"), [(500.0, 2), (5.0, 1), (-20.0, 1)])
def test_a_probe_that_leaves_no_time_for_the_end_is_skipped(fresh: SearchState, left_s: float, probes: int) -> None:
    """One probe is made whatever the time; more only where the run can still be finished behind them."""
    assert search(replace(fresh, left_s=left_s))[0].count("probe") == probes


def test_without_a_budget_no_pace_and_no_time_decides(fresh: SearchState) -> None:
    """By trials alone the steps are a fixed list, whatever the speeds and the clock say."""
    asked = replace(fresh, settings=replace(fresh.settings, budget_s=None, trials=4), left_s=math.inf)
    kinds, state = search(asked)
    slow = replace(asked, speeds=replace(asked.speeds, slowdown=50.0))
    assert "pace" not in kinds
    assert len(state.begun) == 4
    assert search(slow)[1].begun == state.begun


def test_what_was_probed_is_not_skipped_on_a_resume(fresh: SearchState) -> None:
    """Its time is spent, however little is left now: nothing is noted as not probed, and no probe is made twice."""
    made = tuple(
        ended(Candidate(backbone="pocket", strategy="ridge", parameters={}, size_px=px), -1 - number, 1.0)
        for number, px in enumerate((64, 96))
    )
    decide = SearchPolicy(fresh, [fresh.registry.backbone("pocket")], same)
    late = replace(fresh, probes=made, left_s=0.01)
    assert decide.next_probe(late) is None
    assert decide.skipped == []
