"""Run the check of one rule: a function that returns a remark or raises `RuleError` -> a `Check` that can be printed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from advisor.errors import RuleError


@dataclass(frozen=True, kw_only=True)
class Check:
    """A rule and whether it holds. `detail` says what was found; "" where there is nothing to say."""

    name: str
    passed: bool
    detail: str = ""


def run(name: str, rule: Callable[[], str | None]) -> Check:
    """Check one rule. Whatever a plugin's code raises is a failed check with its reason, never a traceback."""
    try:
        return Check(name=name, passed=True, detail=rule() or "")
    except RuleError as found:
        return Check(name=name, passed=False, detail=str(found))
    except (Exception, SystemExit) as error:
        text = " ".join(str(error).split())
        return Check(name=name, passed=False, detail=f"{type(error).__name__}: {text[:300]}")
