"""Whether an ensemble is offered."""

from __future__ import annotations

import pytest

from advisor.records.result import Ensemble, EnsembleValidation
from advisor.reporting.parts import ensembles


@pytest.mark.parametrize(
    ("ci95", "advised"), [((-0.05, -0.01), False), ((-0.05, 0.01), True), ((0.01, 0.05), True), (None, True)]
)
def test_an_ensemble_that_is_clearly_worse_is_not_offered(ci95: tuple[float, float] | None, advised: bool) -> None:
    """Its numbers are told; the command that would use it is not."""
    score = EnsembleValidation(accuracy=0.9, single_accuracy=0.9, log_loss=0.2, single_log_loss=0.3, n=50)
    both = Ensemble(
        members=(), validation=score, test=None, ece=None, over_single=None, ci95=ci95, beats_single=None, files={}
    )
    facts = ensembles.facts(both)
    assert facts is not None
    assert ("--ensemble" in facts["how to use it"]) == advised
    assert ("not advised" in facts["how to use it"]) != advised
