"""The checks of the conformance kit that did not pass."""

from __future__ import annotations

from advisor import testing


def failed(checks: list[testing.Check]) -> dict[str, str]:
    """Map the names of the failed checks to what they say."""
    return {c.name: c.detail for c in checks if not c.passed}
