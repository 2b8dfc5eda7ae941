"""What an installed distribution says it needs, compared with what is installed: faults in words.

In: a distribution's name. Out: requirements that do not hold; extras, markers and upper bounds are left to pip.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata

from advisor.runtime import environment

_LINE = re.compile(r"([A-Za-z0-9._-]+)\s*\(?\s*(>=|==)\s*([0-9][0-9.]*)")


@dataclass(frozen=True, kw_only=True)
class Unmet:
    """A requirement that does not hold, and what was found instead."""

    name: str
    requirement: str
    told: str


def unmet(distribution: str) -> list[Unmet] | None:
    """List the requirements of a distribution that do not hold; None where it is not installed itself."""
    try:
        lines = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return None
    return [fault for line in lines if (fault := compare(line)) is not None]


def compare(line: str) -> Unmet | None:
    """Compare one requirement ("torch>=2.6", "torch (==2.7.1)") with what is installed; None where it holds."""
    named = _LINE.match(line)
    if named is None or "extra ==" in line:
        return None
    name, sign, stated = named.groups()
    found = environment.version(name)
    wanted = numbers(stated)
    have = numbers(found)
    if found and (have >= wanted if sign == ">=" else have[: len(wanted)] == wanted):
        return None
    told = f"{name} is {found}, expected {sign}{stated}" if found else f"{name} is not installed"
    return Unmet(name=name, requirement=f"{name}{sign}{stated}", told=told)


def numbers(version: str) -> tuple[int, ...]:
    """Read the first three numbers of a version, without its local part: "2.7.1+cu126" -> (2, 7, 1)."""
    return tuple(int(n) for n in re.findall(r"\d+", version.partition("+")[0])[:3])
