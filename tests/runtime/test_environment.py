"""What a distribution needs is compared with what is installed."""

from __future__ import annotations

from importlib import metadata

import pytest

from advisor.records import Compute, Environment
from advisor.runtime import environment


@pytest.mark.parametrize(
    ("version", "expected"),
    [("2.7.1+cu126", (2, 7, 1)), ("0.21", (0, 21)), ("2.6.0a0+git12", (2, 6, 0)), ("", ()), ("10.4.0.1", (10, 4, 0))],
)
def test_numbers_of_a_version(version: str, expected: tuple[int, ...]) -> None:
    """Local parts do not count, and 10 is above 9."""
    assert environment.version_numbers(version) == expected


def test_requirements_that_hold_are_silent() -> None:
    """What is installed satisfies its own version; extras and unversioned names are left to pip."""
    click = metadata.version("click")
    for line in (f"click>={click}", f"click (>={click})", f"click=={click}", "click", 'none>=1; extra == "x"'):
        assert environment.compare_requirement(line) is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("click>=999.1", "expected >=999.1"),
        ("click (==0.1)", "expected ==0.1"),
        ("no-such-library-here>=1", "no-such-library-here is not installed"),
    ],
)
def test_requirements_that_are_not_met_are_described(line: str, expected: str) -> None:
    """The description has the name, what is installed, and what was expected."""
    unmet = environment.compare_requirement(line)
    assert unmet is not None
    assert expected in unmet.description


def test_our_own_requirements_hold_here() -> None:
    """The environment that runs the tests is one that doctor calls good; what is not installed has no answer."""
    assert environment.unmet("tl-advise") == []
    assert environment.unmet("no-such-distribution-here") is None


def test_another_timm_is_another_kind_of_machine() -> None:
    """Where both state the version of timm, it has to be equal; older recipes, and machines without it, state none."""

    def machine(**versions: str) -> Environment:
        return Environment(
            versions={"torch": "2.15.0", **versions},
            device="cpu",
            model="x",
            threads=1,
            precision="float32",
            layout="channels_last",
        )

    assert not environment.same_kind(machine(timm="1.0.30"), machine(timm="1.0.31"))
    assert environment.same_kind(machine(timm="1.0.31"), machine(timm="1.0.31"))
    assert environment.same_kind(machine(), machine(timm="1.0.31"))
    here = environment.describe(Compute(device="cpu", precision="float32", layout="channels_last", threads=1))
    assert here.versions.get("timm", "") == environment.version("timm")
