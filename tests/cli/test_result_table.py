"""The answer on a terminal: complete, narrow or wide, and safe to print whatever the folders are called."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
import results
from goldens import golden
from rich.console import Console
from sample_recipe import example

from advisor import records
from advisor.cli import _result_table
from advisor.reporting import model_card, report

GOLDEN = Path(__file__).parents[1] / "golden"


def printed(result: records.Result, run: Path, width: int = 110) -> str:
    """What a plain terminal of this width shows, without the spaces at the ends of lines."""
    stream = io.StringIO()
    _result_table.result(result, run, out=Console(file=stream, width=width, highlight=False, color_system=None))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def test_the_answer_is_as_agreed() -> None:
    """What a person sees changes only on purpose."""
    golden(GOLDEN / "show.txt", printed(results.final(), Path("tl-advise-runs/insects-1")))
    golden(GOLDEN / "show-provisional.txt", printed(results.provisional(), Path("/somewhere/a b")))


def test_an_ensemble_is_told_in_a_line() -> None:
    """What it reached beside the single model, whether that is noise, and how to use it: here, in report and card."""
    result = results.final()
    assert result.test is not None
    ensemble = records.Ensemble(
        members=result.ties[:1] * 3,
        validation=records.EnsembleValidation(
            accuracy=0.91, single_accuracy=0.9, log_loss=0.25, single_log_loss=0.27, n=200
        ),
        test=dataclasses.replace(result.test, accuracy=0.917),
        ece=0.03,
        over_single=0.017,
        ci95=(-0.01, 0.04),
        beats_single=False,
        files={"description": "ensemble/ensemble.json"},
    )
    result = dataclasses.replace(result, ensemble=ensemble)
    text = " ".join(printed(result, Path("runs/1"), 200).split())
    assert "an ensemble of 3 models: 91.7 % on the test" in text
    assert "+1.7 points against the single model: within noise" in text
    assert "tl-advise predict runs/1 --ensemble" in text
    page = report.render(result, results.profile(), ())
    assert "0.250, the single model 0.270 (200 images)" in page
    assert "an ensemble of 3 models" in model_card.render(result, example())


@pytest.mark.parametrize("width", [60, 80, 200])
def test_nothing_is_cut_off(width: int) -> None:
    """Scores, reasons, warnings and commands are whole at any width."""
    text = " ".join(printed(results.final(), Path("runs/1"), width).split())
    for words in ("90.0 %", "82.4 to 97.6 %", "within noise", "3 test images: its score is uncertain", "p = 0.003"):
        assert words in text
    assert "…" not in text


def test_markup_and_stray_bytes_are_shown_as_they_are() -> None:
    """A folder called [red] or with bytes that are no UTF-8 neither colours nor breaks the output."""
    result = results.final()
    result = dataclasses.replace(
        result,
        dataset=dataclasses.replace(result.dataset, path="[red]x\udce9"),
        warnings=("[/bold] a\x1b[31m\nb",),
    )
    text = printed(result, Path("run"))
    assert "[red]x\\xe9" in text
    assert "[/bold] a\\x1b[31m\\nb" in text
    text.encode("utf-8")


def test_long_lists_are_shortened_and_say_so() -> None:
    """Twenty warnings and ten networks left out do not bury the answer."""
    result = results.final()
    out = tuple(records.LeftOut(backbone=f"net{i}", reason="no weights", command="") for i in range(10))
    result = dataclasses.replace(result, warnings=tuple(f"warning {i}" for i in range(20)), left_out=out)
    text = printed(result, Path("run"))
    assert "and 8 more, in the report" in text
    assert "net0 and 9 more: no weights" in text
    assert "warning 19" not in text


def test_missing_maps_have_a_reason() -> None:
    """Where nothing shows where the network looks, terminal and report say why."""
    result = dataclasses.replace(results.final(), attention=None, attention_reason="no time was left")
    assert "not drawn: no time was left" in printed(result, Path("run"))
    assert "Not drawn: no time was left." in report.render(result, results.profile(), results.trials())
