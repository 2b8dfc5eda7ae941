"""Which input sizes fit under a limit, decided with as few measurements as needed."""

from __future__ import annotations

import pytest

from advisor import registry
from advisor.errors import InputError
from advisor.hooks import Backbone
from advisor.records import Settings
from advisor.records.limits import GraphCost
from advisor.tuning.limits import fits_limits
from advisor.tuning.limits.graph_costs import CostTable


class Machine:
    """Measures at so many milliseconds per 64 x 64 pixels, and counts."""

    def __init__(self, ms_at_64: float) -> None:
        self.ms_at_64, self.calls = ms_at_64, list[int]()

    def __call__(self, backbone: Backbone, size_px: int) -> GraphCost:
        self.calls.append(size_px)
        return GraphCost(ms=self.ms_at_64 * (size_px / 64) ** 2, mb=1.0, measured=True)


@pytest.fixture(name="pocket")
def _pocket() -> Backbone:
    return registry.load().backbone("pocket")


def test_sizes_that_fit_stay_in_their_order(pocket: Backbone) -> None:
    """A generous limit changes nothing and measures nothing."""
    machine = Machine(1.0)
    assert fits_limits.fitting_sizes(CostTable(max_ms=1e6), pocket, (224, 128), machine, smaller=True) == (224, 128)
    assert machine.calls == []


def test_a_smaller_size_is_found_where_the_suggested_ones_are_too_slow(pocket: Backbone) -> None:
    """The largest multiple of 32 that keeps the limit, which is measured or follows from a measurement."""
    ms = CostTable().predict(pocket, 64).ms or 0.0
    machine = Machine(ms)
    fitting_px = fits_limits.fitting_sizes(
        CostTable(max_ms=machine(pocket, 100).ms), pocket, (224,), machine, smaller=True
    )
    assert fitting_px == (96,)


def test_a_size_that_was_asked_for_is_not_replaced(pocket: Backbone) -> None:
    """`--size` leaves no other size to search."""
    machine = Machine(CostTable().predict(pocket, 64).ms or 0.0)
    limit = machine(pocket, 100).ms
    assert fits_limits.fitting_sizes(CostTable(max_ms=limit), pocket, (224,), machine, smaller=False) == ()


def test_the_error_names_the_nearest(pocket: Backbone) -> None:
    """Network, size and figures of what comes nearest, and that the limit must be raised; exit code 2."""
    table = CostTable(max_ms=0.001)
    table.learn(pocket, 64, GraphCost(ms=0.7, mb=0.6, measured=True))
    error = fits_limits.nothing_fits(table, [pocket], {"pocket": (64, 128)})
    assert error.exit_code == 2
    assert (
        "no available network keeps --max-ms 0.001; the nearest is pocket at 64 px: 0.7 ms, 0.6 MB (measured)"
        in str(error)
    )


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_limit_is_a_number_above_0(value: float) -> None:
    """One line before any work."""
    with pytest.raises(InputError, match="expected a number above 0"):
        fits_limits.check(Settings(data="x", max_ms=value))


def test_without_the_packages_a_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit is measured, so the extra is needed; the command that installs it is in the line."""
    monkeypatch.setattr(fits_limits.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"tl-advise\[onnx\]"):
        fits_limits.check(Settings(data="x", max_mb=5.0))


def test_a_network_that_is_far_too_large_is_not_downloaded(pocket: Backbone) -> None:
    """Cards alone exclude it, with a margin."""
    assert fits_limits.may_fit(pocket, Settings(data="x", max_mb=20.0))
    assert not fits_limits.may_fit(pocket, Settings(data="x", max_mb=0.01))
    assert fits_limits.may_fit(pocket, Settings(data="x"))
