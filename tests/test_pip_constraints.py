"""The constraints files agree with pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIREMENT = re.compile(r"([A-Za-z0-9_.-]+)(?:\[[^]]*\])?>=([0-9.]+)$")


def pinned(name: str) -> dict[str, str]:
    """Read the pins of a constraints file, by lower-case name."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return dict(line.lower().split("==") for line in lines if "==" in line and not line.startswith("#"))


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    """Every dependency, and what serving needs, is pinned to exactly its lower bound."""
    required = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["serve"]]
    bounds = {match[1].lower(): match[2] for text in required if (match := REQUIREMENT.match(text))}
    assert len(bounds) == len(required)
    assert pinned("constraints-oldest.txt") == bounds


def test_the_newest_versions_satisfy_the_bounds() -> None:
    """Every dependency has a pin in constraints.txt that is not older than its lower bound."""
    newest = pinned("constraints.txt")
    for text in PROJECT["dependencies"]:
        match = REQUIREMENT.match(text)
        assert match is not None
        assert [int(n) for n in newest[match[1].lower()].split(".")[:2]] >= [int(n) for n in match[2].split(".")]
