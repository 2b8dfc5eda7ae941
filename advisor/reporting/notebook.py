"""A result as a notebook shows it: one line of text, and the first card of the report.

`shown` wraps a `Result` in a class that has the same fields and knows how to display itself, since records know nothing of
reports. Does NOT cover: the whole page (`report`).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from advisor.records import Result
from advisor.reporting import assessment, report, wording


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class ShownResult(Result):
    """A `Result` with a short text and the first card of the report as its display. `run` is the run directory."""

    run: str = "RUN"

    def __repr__(self) -> str:
        score = wording.score(self.test, self.test_reason)
        return f"Result({self.status}: {wording.choice(self.best)}, {score} {self.run})"

    def _repr_html_(self) -> str:
        return report.first_card(self, run=self.run)

    @property
    def verdict(self) -> str:
        """Whether the model can be used, in a sentence."""
        return assessment.assess(self, self.run).verdict


def shown(result: Result, run: Path) -> ShownResult:
    """Return the same result with a display."""
    fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(Result)}
    return ShownResult(**fields, run=str(run))
