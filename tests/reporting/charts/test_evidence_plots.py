"""Charts of the evidence in the report: the map of the images, reliability, and what forgetting left of the source."""

from __future__ import annotations

import dataclasses

import results

from advisor import records
from advisor.reporting import report, wording
from advisor.reporting.charts import evidence_plots


def test_what_is_left_of_the_source_is_drawn() -> None:
    """Measures, source accuracy before and after, and both curves; what was not measured is told, not drawn."""
    forgetting = records.Forgetting(
        images=200,
        held_out=True,
        cka=0.8125,
        neighbours=0.61,
        chance=0.05,
        stages={
            "stem": records.StageKept(distance=0.0123, cka=0.99),
            "pool": records.StageKept(distance=None, cka=None),
        },
        source=records.SourceKept(images=500, size_px=224, before=0.54, after=0.31),
        source_reason=None,
        blends=tuple(records.Blend(share=s, accuracy=0.7 + 0.2 * s, source=0.54 - 0.23 * s) for s in (0.0, 0.5, 1.0)),
    )
    html = report.render(dataclasses.replace(results.final(), forgetting=forgetting), results.profile(), ())
    for told_words in ("How much of the original training is kept", "0.812", "before 54.0", "23.0 points", "0.012"):
        assert told_words in html.replace("\u00a0", " "), told_words
    assert html.count('<circle class="curve') == 6
    bare = dataclasses.replace(forgetting, source=None, source_reason="no head", blends=forgetting.blends[:0])
    html = report.render(dataclasses.replace(results.final(), forgetting=bare), results.profile(), ())
    assert "not measured: no head" in html
    assert '<circle class="curve' not in html


def test_the_map_shows_every_mistake() -> None:
    """Points have a colour per class and their path; mistakes are ringed; three points without a spread still draw."""
    points = [
        evidence_plots.MapPoint(
            x=float(i % 7), y=float(i // 7), label=f"c{i % 3}", predicted=f"c{i % 3 if i else 1}", path=f"{i}.jpg"
        )
        for i in range(40)
    ]
    html = report.render(results.final(), results.profile(), (), feature_map=points)
    assert "Map of the images" in html
    assert html.count('class="point') == 40
    assert html.count(' wrong" cx') == 1
    drawn, legend = evidence_plots.feature_map([dataclasses.replace(p, x=0.0, y=0.0) for p in points[:3]])
    assert "nan" not in drawn
    assert len(legend) == 3
    assert evidence_plots.feature_map(points[:2]) == ("", [])


def test_reliability_is_drawn_and_put_in_words() -> None:
    """The diagram has a dot per bin; the words compare the error with what chance explains."""
    done = results.final()
    bins = tuple(
        records.CalibrationBin(n=30, confidence=c, accuracy=a, ci95=(a - 0.1, a + 0.05))
        for c, a in ((0.7, 0.5), (0.95, 0.8))
    )
    over = dataclasses.replace(
        done.calibration, ece=0.18, overconfidence=0.17, ci95=(0.08, 0.26), ece_by_chance=0.11, bins=bins
    )
    html = report.render(dataclasses.replace(done, calibration=over), results.profile(), ()).replace("\u00a0", " ")
    assert "The model is overconfident: calibration error 18.0 %, up to 11.0 %" in html
    assert html.count('class="dot main" cx') == 2
    fits = dataclasses.replace(over, ece=0.05, ci95=(-0.05, 0.09))
    assert wording.calibration(fits).startswith("The probabilities fit what was observed")
