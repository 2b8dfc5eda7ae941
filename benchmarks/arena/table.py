"""Write docs/arena.md from the rows: accuracy with Wilson intervals, paired tests against tl-advise, wins, ties and losses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from advisor.metrics import intervals

HERE = Path(__file__).parent
ROWS = HERE.parent / "results" / "arena.jsonl"
PAGE = HERE.parents[1] / "docs" / "arena.md"
OURS = "tl-advise"


def against(row: dict[str, Any], ours: dict[str, Any]) -> str:
    """Return "win", "tie" or "loss" of tl-advise by an exact McNemar test on the same test images (two-sided, 5 %)."""
    pairs = list(zip(row["bits"], ours["bits"], strict=True))
    theirs = sum(a == "1" and b == "0" for a, b in pairs)
    mine = sum(a == "0" and b == "1" for a, b in pairs)
    if theirs + mine == 0 or binomtest(mine, mine + theirs).pvalue >= 0.05:
        return "tie"
    return "win" if mine > theirs else "loss"


def line(row: dict[str, Any], ours: dict[str, Any] | None) -> str:
    """Return one line of the table."""
    head = f"| {row['set']} | {row['minutes']:g} | {row['seed']} | {row['rival']} "
    if "failed" in row:
        return head + f"| failed: {row['failed'][:90]} | | | | | | |"
    low, high = intervals.wilson(round(row["accuracy"] * row["n"]), row["n"])
    flattered = "-" if row["reported"] is None else f"{100 * (row['reported'] - row['accuracy']):+.1f}"
    verdict = "" if row["rival"] == OURS or ours is None else against(row, ours)
    return head + (
        f"| {row['accuracy']:.3f} ({low:.3f}-{high:.3f}) | {row['balanced']:.3f} | {flattered} | "
        f"{row['used_s']:.0f} of {60 * row['minutes']:.0f} | {row['peak_mb']:,} / {row['disk_mb']:.0f} | "
        f"{row['images_per_s']:.0f}{'' if row['loads_again'] else ' (differs)'} | {verdict} |"
    )


def page(rows: list[dict[str, Any]]) -> str:
    """Return the whole page."""
    ours = {(r["set"], r["minutes"], r["seed"]): r for r in rows if r["rival"] == OURS and "failed" not in r}
    lines = [line(r, ours.get((r["set"], r["minutes"], r["seed"]))) for r in sorted(rows, key=_key)]
    compared = [
        r for r in rows if r["rival"] != OURS and "failed" not in r and (r["set"], r["minutes"], r["seed"]) in ours
    ]
    verdicts = [against(r, ours[(r["set"], r["minutes"], r["seed"])]) for r in compared]
    counts = ", ".join(f"{verdicts.count(word)} {word}" for word in ("win", "tie", "loss"))
    return (HERE / "page.md").read_text(encoding="utf-8").format(rows="\n".join(lines), counts=counts, n=len(verdicts))


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["set"], row["minutes"], row["seed"], row["rival"] != OURS, row["rival"]


if __name__ == "__main__":
    PAGE.write_text(
        page([json.loads(text) for text in ROWS.read_text(encoding="utf-8").splitlines()]), encoding="utf-8"
    )
