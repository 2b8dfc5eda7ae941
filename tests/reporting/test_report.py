"""The report: one page that loads nothing, escapes names, and stands full, empty or with 102 classes."""

from __future__ import annotations

import dataclasses
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import results
from goldens import golden
from PIL import Image

from advisor import records
from advisor.reporting import glossary, insight_text, report

GOLDEN = Path(__file__).parents[1] / "golden"
VOID = {"meta", "link", "img", "br", "hr", "input", "circle", "line", "rect", "path"}


class Reader(HTMLParser):
    """Collects a page's tags, attributes and visible text, and fails where tags do not close in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag
        self.text += " " if tag in {"text", "td", "th"} else ""

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def picture(side: int = 8) -> bytes:
    """A small real PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.arange(side * side * 3, dtype=np.uint8).reshape(side, side, 3)).save(buffer, "PNG")
    return buffer.getvalue()


def pages() -> dict[str, str]:
    """A finished run, one of 102 classes, and one that has just begun."""
    shown = {"bees/<i>img</i> 1.jpg": picture()}
    return {
        "final": report.render(results.final(), results.profile(), results.trials(), thumbnails=shown, run="runs/a 1"),
        "flowers": report.render(results.final(102, 20), results.profile(102), results.trials(), title="102"),
        "provisional": report.render(results.provisional(), results.profile(), ()),
    }


@pytest.fixture(scope="module", name="rendered")
def _rendered() -> dict[str, str]:
    return pages()


@pytest.mark.parametrize("name", ["final", "flowers", "provisional"])
def test_the_page_loads_nothing_and_closes_its_tags(rendered: dict[str, str], name: str) -> None:
    """No script, no address, no import: the file alone is the report; and it is whole HTML in UTF-8."""
    html = rendered[name]
    page = Reader(html)
    html.encode("utf-8")
    tags = {tag for tag, _, _ in page.attributes}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert "<script" not in html
    assert not re.search(r"https?:|@import|url\(|//[a-z]", re.sub(r"data:image/\w+;base64,[\w+/=]+", "", html))
    for _, attribute, value in page.attributes:
        assert not attribute.startswith("on")
        assert attribute not in {"href", "src", "srcset"} or value.startswith(("data:image/", "#g-"))


def test_names_are_escaped(rendered: dict[str, str]) -> None:
    """A class or a path that looks like HTML is shown as it is written, in text, drawings and titles."""
    html = rendered["final"]
    assert "<b>&amp;amp;</b>" not in html
    assert "bees <b>" not in html
    assert "bees &lt;b&gt;&amp;amp;&lt;/b&gt;" in html
    assert "<i>img" not in html
    assert "ants/caf\\xe9.jpg" in html  # bytes that are not UTF-8


def test_a_command_is_copied_as_it_is() -> None:
    """A path with "5 %" keeps its space in commands; a share keeps its sign beside it."""
    html = report.render(results.final(), results.profile(), results.trials(), run="runs/5 % of 7")
    commands = re.findall(r"<code>(.*?)</code>", html, re.DOTALL)
    assert any("5 % of 7" in command for command in commands)
    assert not any("\u00a0%" in command for command in commands)
    assert "96 %" not in html


def test_numbers_above_a_thousand_are_written_as_numbers(rendered: dict[str, str]) -> None:
    """No separator of digits is shown as an escape."""
    assert all("\\u202f" not in html for html in rendered.values())
    assert "2,040 test images" in Reader(rendered["flowers"]).text


def test_the_answer_comes_first(rendered: dict[str, str]) -> None:
    """Score beside guessing, the verdict, where it fails and what to do come first, with few numbers; then the evidence."""
    text = " ".join(Reader(rendered["final"]).text.split()).replace("\u00a0", " ")
    first = text[: text.index("Warnings")]
    assert "Accuracy on 60 test images (95 % interval 82.4 to 97.6 %)" in first
    assert "Always answering ants would be right for 25.0 %" in first
    assert "too few test images" in first
    assert first.index("Where it fails") < first.index("What to do next")
    assert "Collect more images of a_rather_long_name" in first
    assert len(re.findall(r"\d[\d.,]*", first)) <= 20  # 15 beside the percent sign of intervals and commands
    assert "The last-block pilot gained 4.1 points" in text
    assert "outweigh the rule of thumb (feature extraction)" in text
    assert "+3.0 points over the untuned default" in text
    for words_ in ("trial 20", "the loss is not a number", "tl-advise weights fetch resnet50", "RGB 255", "A CPU"):
        assert words_ in text


def test_a_provisional_page_says_what_is_missing(rendered: dict[str, str]) -> None:
    """With no test, no default and no trial, the page says so, and shows neither nan nor None."""
    text = " ".join(Reader(rendered["provisional"]).text.split())
    assert "No test score: the search has not ended." in text
    assert "Tuning has not been compared with the untuned default yet." in text
    assert "No trial is complete yet." in text
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", text)


def test_no_page_shows_raw_values(rendered: dict[str, str]) -> None:
    """No nan, None or unrounded number reaches a reader."""
    for html in rendered.values():
        text = Reader(html).text
        assert not re.search(r"\bnan\b|\bNone\b|\d\.\d{5,}", text)


def test_a_hundred_classes_stay_readable(rendered: dict[str, str]) -> None:
    """The matrix of 102 classes names every class and leads with the commonest confusions."""
    html = rendered["flowers"]
    assert html.count('class="cell right"') == 102
    assert "Most common confusions" in html
    assert "species 097" in html
    assert len(html) < 500_000


def test_two_hundred_classes_have_no_matrix() -> None:
    """Where no page can hold the matrix, the table of confusions stands alone."""
    html = report.render(results.final(200, 3), results.profile(200), ())
    assert 'class="cell' not in html
    assert "Most common confusions" in html


def test_the_default_that_is_kept_is_said() -> None:
    """Where the untuned default wins, the page says that the search brought nothing."""
    done = results.final()
    assert done.baseline is not None
    default = dataclasses.replace(done, best=done.baseline.best, gain=None, ties=())
    html = report.render(default, results.profile(), results.trials())
    assert "The untuned default was kept" in html


def test_parts_that_few_runs_have_appear() -> None:
    """A target domain or an ensemble get their own section."""
    more = dataclasses.replace(results.final(), target={"accuracy": 0.912345, "labelled": None})
    html = report.render(more, results.profile(), ())
    assert "Target domain" in html
    assert "0.9123" in html


def test_the_page_is_as_agreed(rendered: dict[str, str]) -> None:
    """What a person sees changes only on purpose."""
    golden(GOLDEN / "report.html", rendered["final"])
    golden(GOLDEN / "report-provisional.html", rendered["provisional"])


def test_every_record_field_is_used_by_someone() -> None:
    """A result's fields that a person should see are all on the page: this list grows with the record."""
    template = "".join(p.read_text(encoding="utf-8") for p in report.TEMPLATES.glob("*.j2"))
    code = "".join(p.read_text(encoding="utf-8") for p in Path(report.__file__).parent.glob("*.py"))
    silent = {"schema", "files"}
    for field in dataclasses.fields(records.Result):
        assert field.name in silent or f".{field.name}" in template + code


def test_the_regime_is_named_once() -> None:
    """A reason that begins with the regime's name is not shown behind that name again."""
    result = results.final()
    regime = dataclasses.replace(result.regime, name="partial", reason="partial fine-tuning: +4.1 points")
    named = dataclasses.replace(result, regime=regime)
    page = report.render(named, results.profile(), results.trials())
    assert "How much to train: partial fine-tuning</h3>\n<p>+4.1 points" in page


def test_every_explained_term_is_in_the_glossary(rendered: dict[str, str]) -> None:
    """A link to a term has its explanation at the end of the page, and docs/glossary.md holds the same."""
    for html in rendered.values():
        anchors = set(re.findall(r'href="#(g-[a-z0-9-]+)"', html))
        assert anchors
        assert anchors <= set(re.findall(r'id="(g-[a-z0-9-]+)"', html))
    page = Path(__file__).parents[2] / "docs" / "glossary.md"
    assert page.read_text(encoding="utf-8") == glossary.as_markdown()


def test_parts_of_other_records_have_a_place() -> None:
    """A part that only some runs have gets its section; nothing is shown where there is none."""
    assert "Labels worth checking" not in report.render(results.final(), results.profile(), ())


def test_the_report_says_what_the_forecast_was_measured_with() -> None:
    """Heads on frozen features differ from a fine-tuned winner, and the text says so; the winner's own trainings do not."""
    result = results.final()
    assert result.forecast is not None
    own = dataclasses.replace(result.forecast, source="full")
    trained = dataclasses.replace(result, forecast=own)
    assert "on the frozen features" in insight_text.forecast_method(result)
    assert "Measured by training full on mobilenet_v2" in insight_text.forecast_method(trained)
    assert insight_text.forecast_source(own) == "measured by training full on parts of the images"
