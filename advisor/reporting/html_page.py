"""One self-contained HTML page from drawings and tables, in the style of the report: no script, no outside file.

In: a title and sections of (sentence, drawing or table). Out: HTML text. Sentences and cells are made printable and escaped
here; drawings come from `standalone_charts`. Does NOT cover: the report of the main job (`report`).
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from advisor.safe_text import printable

STYLE = Path(__file__).parent / "templates" / "report.css"


def page(title: str, sections: Sequence[tuple[str, str]]) -> str:
    """Return a page; each section is a sentence and markup that is already safe."""
    body = "".join(
        f'<section><p>{_safe(sentence)}</p><div class="scroll">{markup}</div></section>'
        for sentence, markup in sections
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{_safe(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>\n{STYLE.read_text(encoding='utf-8')}</style></head>"
        f"<body><main><header><h1>{_safe(title)}</h1></header>{body}"
        "<footer>Written by tl-advise. This page needs no internet: it loads nothing.</footer></main></body></html>\n"
    )


def bullets(lines: Sequence[str]) -> str:
    """Return sentences as a list."""
    return f"<ul>{''.join(f'<li>{_safe(line)}</li>' for line in lines)}</ul>"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first column is text and whose other columns are numbers."""
    head = "".join(f"<th{_kind(i)}>{_safe(name)}</th>" for i, name in enumerate(columns))
    body = "".join(
        f"<tr>{''.join(f'<td{_kind(i)}>{_safe(cell)}</td>' for i, cell in enumerate(row))}</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _kind(column: int) -> str:
    return ' class="n"' if column else ""


def _safe(text: str) -> str:
    return escape(printable(text))
