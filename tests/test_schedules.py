"""advisor.schedules: rates as functions of step and stage, against torch's schedulers where they have the same one."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from advisor import schedules
from advisor.errors import InputError
from advisor.hooks import Phase, ScheduleSpec

NAMES = ("stem", "middle", "top")


@given(
    name=some.sampled_from(schedules.SCHEDULES),
    steps=some.integers(1, 200),
    warmup=some.floats(0, 0.9),
    floor=some.floats(0, 0.5),
)
@settings(max_examples=200, deadline=None)
def test_factor_stays_in_0_to_1(name: str, steps: int, warmup: float, floor: float) -> None:
    """A factor lies in 0..1 at every step of any run, and the peak is reached or nearly so."""
    spec = ScheduleSpec(name=name, warmup=warmup, floor=floor)
    factors = [schedules.factor(spec, step, steps) for step in range(steps)]
    assert all(0 <= f <= 1 + 1e-12 for f in factors)


@pytest.mark.parametrize("steps", [20, 57, 400])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_onecycle_is_torchs_and_keeps_each_groups_maximum(steps: int, share: float) -> None:
    """One cycle equals torch's OneCycleLR group by group (mistake 7: never one maximum for all groups)."""
    peaks = [1e-5, 3e-3]
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in peaks]
    optimizer = torch.optim.SGD([{"params": [p]} for p in parameters], lr=0.1)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=peaks, total_steps=steps, pct_start=share, cycle_momentum=False
    )
    spec = ScheduleSpec(name="onecycle", warmup=share)
    for step in range(steps):
        for peak, group in zip(peaks, optimizer.param_groups, strict=True):
            assert schedules.factor(spec, step, steps) * peak == pytest.approx(group["lr"], rel=1e-9)
        optimizer.step()
        if step < steps - 1:
            reference.step()


def test_cosine_is_torchs_after_the_warm_up() -> None:
    """Cosine without warm-up equals torch's CosineAnnealingLR."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40)
    for step in range(40):
        ours = schedules.factor(ScheduleSpec(name="cosine", warmup=0.0), step, 40)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        reference.step()


def test_step_decays_by_gamma_every_share() -> None:
    """A step schedule multiplies by gamma after each share of the run."""
    spec = ScheduleSpec(name="step", warmup=0.0, gamma=0.1, every=0.25)
    factors = [schedules.factor(spec, step, 40) for step in range(40)]
    assert factors == pytest.approx([1.0] * 10 + [0.1] * 10 + [0.01] * 10 + [0.001] * 10)


def test_warm_up_rises_linearly_from_above_zero() -> None:
    """The first step already learns, and the warm-up rises evenly."""
    spec = ScheduleSpec(name="constant", warmup=0.5)
    assert [schedules.factor(spec, step, 8) for step in range(8)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1])


def test_flat_decay_ends_at_its_floor() -> None:
    """Constant, then linear decay over the last share."""
    spec = ScheduleSpec(name="flat_decay", warmup=0.0, every=0.5, floor=0.0)
    factors = [schedules.factor(spec, step, 10) for step in range(10)]
    assert factors == pytest.approx([1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])


def test_unknown_schedule_is_named() -> None:
    """A misspelt schedule is one line with the names that exist."""
    with pytest.raises(InputError, match=r"cosin.*expected one of.*cosine"):
        schedules.factor(ScheduleSpec(name="cosin"), 0, 10)


@given(decay=some.floats(0.05, 1.0), base=some.floats(1e-6, 1.0), count=some.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_layer_decay_falls_from_head_to_stem(decay: float, base: float, count: int) -> None:
    """Rates per stage never rise towards the stem (mistake 6), and the last stage has the base rate."""
    names = [f"s{i}" for i in range(count)]
    rates = schedules.layer_decay(names, base, decay)
    assert list(rates) == names
    assert rates[names[-1]] == pytest.approx(base)
    assert all(rates[a] <= rates[b] * (1 + 1e-12) for a, b in itertools.pairwise(names))


def test_layer_decay_above_one_is_refused() -> None:
    """A decay that would train the stem faster than the head is refused (mistake 6)."""
    with pytest.raises(InputError, match="from head to stem"):
        schedules.layer_decay(NAMES, 1e-3, 1.1)


def test_spread_is_geometric_from_low_to_high() -> None:
    """Rates between stem and head are spaced evenly on a logarithmic scale, as fast.ai's slice."""
    assert list(schedules.spread(NAMES, 1e-5, 1e-3).values()) == pytest.approx([1e-5, 1e-4, 1e-3])
    assert schedules.spread(("only",), 1e-5, 1e-3) == {"only": 1e-3}
    with pytest.raises(InputError, match="stem below head"):
        schedules.spread(NAMES, 1e-3, 1e-5)


def test_gradual_frees_from_the_head_down() -> None:
    """First the head alone, then the last stage, the stem last (mistake 5)."""
    phases = schedules.gradual({"stem": 1.0, "middle": 2.0, "top": 3.0}, 9.0, first=5, every=10)
    assert [(p.start, set(p.rates)) for p in phases] == [
        (0, set()),
        (5, {"top"}),
        (15, {"middle", "top"}),
        (25, {"stem", "middle", "top"}),
    ]
    assert all(p.head_rate == 9.0 for p in phases)
    assert phases[-1].rates == {"stem": 1.0, "middle": 2.0, "top": 3.0}


def test_freed_stages_warm_up_and_others_do_not() -> None:
    """A newly freed stage rises over its phase's warm-up, across later phases too; the others keep their rates."""
    phases = (
        Phase(start=0, head_rate=1.0),
        Phase(start=4, rates={"top": 1.0}, head_rate=1.0, warmup=3),
        Phase(start=6, rates={"middle": 1.0, "top": 1.0}, head_rate=1.0, warmup=3),
    )
    constant = ScheduleSpec(name="constant", warmup=0.0)
    rates = [schedules.rates_at(constant, phases, step, 12) for step in range(12)]
    assert all(r[schedules.HEAD] == 1.0 for r in rates)
    assert "top" not in rates[3]
    assert [r["top"] for r in rates[4:9]] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert [r["middle"] for r in rates[6:11]] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])


def test_a_restarting_phase_begins_the_schedule_anew() -> None:
    """With `restart` the schedule runs once before the phase and once from it on."""
    phases = (Phase(start=0, head_rate=1.0), Phase(start=10, rates={"top": 1.0}, head_rate=1.0, restart=True))
    cosine = ScheduleSpec(name="cosine", warmup=0.0)
    head = [schedules.rates_at(cosine, phases, step, 30)[schedules.HEAD] for step in range(30)]
    assert head[:10] == pytest.approx([schedules.factor(cosine, s, 10) for s in range(10)])
    assert head[10:] == pytest.approx([schedules.factor(cosine, s, 20) for s in range(20)])
