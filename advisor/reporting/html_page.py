"""One self-contained HTML page from drawings and tables: no script, no outside file, light and dark.

In: a title and sections of (sentence, drawing or table). Out: HTML text. Sentences and cells are escaped here; drawings
come from `charts`. Does NOT cover: the report of the main job (`report`).
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "td,th{padding:.3rem .8rem;border-bottom:1px solid #94a3b855;text-align:right}"
    "td:first-child,th:first-child{text-align:left}"
    "svg{width:100%;height:auto}.s{margin:1.5rem 0;overflow-x:auto}"
)


def page(title: str, sections: Sequence[tuple[str, str]]) -> str:
    """Write a page; each section is a sentence (escaped) and markup that is already safe."""
    body = "".join(f'<div class="s"><p>{escape(told)}</p>{markup}</div>' for told, markup in sections)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1>{body}</body></html>\n"
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table; every cell is escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
