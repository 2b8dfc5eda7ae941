"""What a distribution needs is compared with what is installed."""

from __future__ import annotations

from importlib import metadata

import pytest

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
