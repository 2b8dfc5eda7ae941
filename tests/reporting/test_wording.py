"""Numbers, settings and regimes in words."""

from __future__ import annotations

import pytest

from advisor.records.result import Ensemble, EnsembleValidation
from advisor.reporting import wording


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (wording.percent(0.9412), "94.1 %"),
        (wording.percent(None), "–"),
        (wording.percent(float("nan")), "–"),
        (wording.points(0.0131), "+1.3 points"),
        (wording.points(-0.0131), "−1.3 points"),
        (wording.points(0.0001), "±0.0 points"),
        (wording.point_span((-0.01, 0.02)), "−1.0 to +2.0 points"),
        (wording.duration(9.51), "9.5 s"),
        (wording.duration(59.7), "1 min"),
        (wording.duration(172.2), "2 min 52 s"),
        (wording.duration(3725), "1 h 2 min"),
        (wording.number(50000), "50\u202f000"),
        (wording.number(0.123456), "0.123"),
        (wording.settings({}), "no parameters"),
        (wording.settings({"a": True, "b": 1e-5, "c": None}), "a yes, b 1e-05, c –"),
        (wording.regime("new_kind"), "new kind"),
    ],
)
def test_numbers_in_words(got: str, want: str) -> None:
    """Numbers are written as a person reads them."""
    assert got == want


@pytest.mark.parametrize(
    ("ci95", "advised"), [((-0.05, -0.01), False), ((-0.05, 0.01), True), ((0.01, 0.05), True), (None, True)]
)
def test_an_ensemble_that_is_clearly_worse_is_not_offered(ci95: tuple[float, float] | None, advised: bool) -> None:
    """Its numbers are told; the command that would use it is not."""
    score = EnsembleValidation(accuracy=0.9, single_accuracy=0.9, log_loss=0.2, single_log_loss=0.3, n=50)
    both = Ensemble(
        members=(), validation=score, test=None, ece=None, over_single=None, ci95=ci95, beats_single=None, files={}
    )
    facts = wording.ensemble_facts(both)
    assert facts is not None
    assert ("--ensemble" in facts["how to use it"]) == advised
    assert ("not advised" in facts["how to use it"]) != advised
