"""The report: records -> one self-contained HTML page: the answer first, then its evidence, then details folded away.

Nothing on the page is fetched from anywhere: drawings are SVG or HTML, pictures are data URLs, the style is inline, there
is no script. Every name is made printable and escaped. A provisional result, without test or default, renders as well as a
final one. Does NOT cover: reading images (`thumbnails`), drawing (`report_plots`, `evidence_plots`), what a result is
worth (`assessment`).
"""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from advisor.records import Profile, Result, Trial
from advisor.reporting import assessment, glossary, insight_text, report_sections, search_story, wording
from advisor.reporting.charts import evidence_plots
from advisor.reporting.parts import distilled, ensembles, pareto
from advisor.safe_text import printable

TEMPLATES = Path(__file__).parent / "templates"
# Parts of the result that only some runs have; each is a template of its own, shown where the record exists.
_COMMAND_OR_SHARE = re.compile(r"<code>.*?</code>|(\d) %", re.DOTALL)
INSIGHTS = ("suspects", "unlike", "label_next", "limits")


def render(
    result: Result,
    profile: Profile,
    trials: Sequence[Trial],
    *,
    thumbnails: Mapping[str, bytes] | None = None,
    heatmaps: Mapping[str, bytes] | None = None,
    feature_map: Sequence[evidence_plots.MapPoint] = (),
    map_method: str = "",
    title: str = "",
    run: str = "RUN",
) -> str:
    """Return the page. `run` is the directory's name.

    `thumbnails` maps the path of an image to a small JPEG or PNG, `heatmaps` to the same picture with what the network
    looked at; `feature_map` is where the images lie by their features, in two dimensions.
    """
    plot, legend = evidence_plots.feature_map(feature_map)
    judged = assessment.assess(result, wording.quoted(run))
    guess = judged.guess.share if judged.guess else None
    html = _page("report.html.j2").render(
        result=result,
        profile=profile,
        title=title or Path(result.dataset.path).name or "data set",
        run=run,
        judged=judged,
        strip=_safe(evidence_plots.strip(report_sections.scores(result), guess=guess)),
        commands=wording.commands(wording.quoted(run)),
        warnings=list(dict.fromkeys([*result.warnings, *profile.warnings])),
        story=search_story.tell(result, trials),
        search=report_sections.search(result, trials, _safe),
        curves=report_sections.curves(result, trials, _safe),
        classes=report_sections.classes(result.test, _safe),
        mistakes=_mistakes(result, thumbnails or {}, heatmaps or {}),
        reliability=_safe(evidence_plots.reliability(result.calibration.bins)),
        forecast_plot=_safe(evidence_plots.learning_curve(result.forecast) if result.forecast else ""),
        map={"plot": _safe(plot), "legend": legend, "method": map_method},
        suspects=_suspects(result, thumbnails or {}),
        attention=_attention(result, heatmaps or {}),
        data=report_sections.data(profile, _safe),
        skipped=report_sections.skipped(result),
        ensemble=ensembles.facts(result.ensemble),
        kept=report_sections.forgetting(result, _safe),
        insights={name: part for name in INSIGHTS if (part := getattr(result, name, None))},
        pareto_plot=_safe(pareto.plot(result.limits.models, result.limits.max_ms) if result.limits else ""),
        terms=glossary.TERMS,
    )
    # A number stays beside its sign, but a command is copied as it is.
    return _COMMAND_OR_SHARE.sub(lambda match: f"{match[1]}\u00a0%" if match[1] else match[0], html)


def first_card(result: Result, *, run: str = "RUN") -> str:
    """Return the answer alone as HTML, for a notebook: score, verdict, where it fails, what to do next."""
    judged = assessment.assess(result, wording.quoted(run))
    guess = judged.guess.share if judged.guess else None
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    html: str = _page("card.html.j2").render(
        result=result,
        title=Path(result.dataset.path).name or "data set",
        run=run,
        judged=judged,
        strip=_safe(evidence_plots.strip(report_sections.scores(result), guess=guess)),
        style=_safe(scoped(style)),
    )
    return html.replace('href="#g-', 'data-term="')


def scoped(style: str) -> str:
    """Return the style with its rules for whole pages left out, so that it leaves the notebook around it alone."""
    body = (
        style.replace("html {", ".tl-advise-none {")
        .replace("body {", ".tl-advise {")
        .replace("main {", ".tl-advise-none {")
    )
    return body.replace(":root {", ".tl-advise {").split("@media print")[0]


def _page(name: str) -> Any:
    """Return a template whose names are printable and escaped, and which knows the filters of `wording`."""
    import jinja2

    page = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    page.filters.update(percent=wording.percent, number=wording.number, duration=wording.duration, value=wording.value)
    page.filters.update(points=wording.points, regime=wording.regime, settings=wording.settings, span=wording.span)
    page.filters.update(capitalize_first=lambda sentence: sentence[:1].upper() + sentence[1:])
    page.filters.update(unbroken_options=_unbroken_options)
    page.globals.update(
        words=wording, insight=insight_text, pareto=pareto, distilled=distilled, term=_term, fields=_fields
    )
    return page.get_template(name)


def _printable(value: Any) -> Any:
    """Make every string that reaches the page printable; markup of our own passes."""
    return printable(value) if type(value) is str else value


def _fields(part: Any) -> dict[str, Any]:
    """Return the fields of a record or a mapping, for a part that has no layout of its own."""
    return dict(part) if isinstance(part, Mapping) else dataclasses.asdict(part)


def _safe(markup: str) -> Any:
    """Mark a drawing as HTML: the plots have escaped what is in it."""
    from markupsafe import Markup

    return Markup(markup)


def _unbroken_options(text: str) -> Any:
    """Return text whose option names (`--budget`) stay on one line: browsers break lines behind hyphens."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"(?<!\S)(--?[a-z][a-z-]*)", r'<span class="option">\1</span>', str(escape(printable(text)))))


def _term(key: str, text: str) -> Any:
    """Return a word that is explained where it stands (its title) and in the glossary at the end of the page."""
    from markupsafe import Markup, escape

    explained = escape(glossary.BY_KEY[key].text)
    return Markup(f'<a class="term" href="#g-{key}" title="{explained}">{escape(text)}</a>')


def _mistakes(result: Result, thumbnails: Mapping[str, bytes], heatmaps: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Return the mistakes with their pictures, "" where there is none."""
    return [
        {
            "mistake": mistake,
            "picture": _data_url(thumbnails.get(mistake.path)),
            "heatmap": _data_url(heatmaps.get(mistake.path)),
        }
        for mistake in result.mistakes
    ]


def _suspects(result: Result, thumbnails: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Return the first suspicious labels with their pictures and that of the most similar image with another label."""
    return [
        {
            "row": row,
            "picture": _data_url(thumbnails.get(row.path)),
            "near": _data_url(thumbnails.get(row.neighbours[0])) if row.neighbours else "",
        }
        for row in (result.suspects.first if result.suspects else ())
    ]


def _attention(result: Result, heatmaps: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Return the classes that were looked at, with their pictures."""
    return [
        {"seen": one, "pictures": [_data_url(heatmaps[path]) for path in one.pictures if path in heatmaps]}
        for one in (result.attention.classes if result.attention else ())
    ]


def _data_url(picture: bytes | None) -> str:
    if picture is None:
        return ""
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"
