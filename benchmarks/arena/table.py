"""Write docs/arena.md from the rows: accuracy with Wilson intervals, paired tests against tl-advise, wins, ties and losses.

python benchmarks/arena/table.py [--plot]     # --plot needs matplotlib, and draws docs/images/arena.svg
"""

from __future__ import annotations

import argparse
import json
from math import inf
from pathlib import Path
from statistics import mean, median
from typing import Any

import rivals
from scipy.stats import binomtest

from advisor.metrics import intervals

HERE = Path(__file__).parent
ROWS = HERE.parent / "results" / "arena.jsonl"
PAGE = HERE.parents[1] / "docs" / "arena.md"
OURS = "tl-advise"
ORDER = [rival.name for rival in rivals.RIVALS]
Row = dict[str, Any]
Cell = tuple[str, float, int]  # set, minutes, seed


def cell(row: Row) -> Cell:
    """Return what two rows must share to be compared."""
    return row["set"], row["minutes"], row["seed"]


def verdict(row: Row, ours: Row) -> str:
    """Return "win", "tie" or "loss" of tl-advise by an exact McNemar test on the same test images (two-sided, 5 %)."""
    pairs = list(zip(row["bits"], ours["bits"], strict=True))
    theirs = sum(a == "1" and b == "0" for a, b in pairs)
    mine = sum(a == "0" and b == "1" for a, b in pairs)
    if theirs + mine == 0 or binomtest(mine, mine + theirs).pvalue >= 0.05:
        return "tie"
    return "win" if mine > theirs else "loss"


def reached_s(row: Row) -> float | None:
    """Return when the validation accuracy that the tool shows first was 95 % of its last value; None where it shows none."""
    history = row.get("history")
    if not history:
        return None
    return float(next(s for s, accuracy in history if accuracy >= 0.95 * history[-1][1]))


def line(row: Row, ours: Row | None) -> str:
    """Return one line of the long table."""
    head = f"| {row['set']} | {row['minutes']:g} | {row['seed']} | {row['rival']} "
    if "failed" in row:
        return head + f"| failed: {row['failed'][:90]} | | | | | | | |"
    low, high = intervals.wilson(round(row["accuracy"] * row["n"]), row["n"])
    flattered = "-" if row["reported"] is None else f"{100 * (row['reported'] - row['accuracy']):+.1f}"
    early = reached_s(row)
    return head + (
        f"| {row['accuracy']:.3f} ({low:.3f}-{high:.3f}) | {row['balanced']:.3f} | {flattered} | "
        f"{row['used_s']:.0f} of {60 * row['minutes']:.0f} | {'-' if early is None else f'{early:.0f}'} | "
        f"{row['peak_mb']:,} / {row['disk_mb']:.0f} | "
        f"{row['images_per_s']:.0f}{'' if row['loads_again'] else ' (differs)'} | "
        f"{'' if row['rival'] == OURS or ours is None else verdict(row, ours)} |"
    )


def summary(rows: list[Row], ours: dict[Cell, Row]) -> str:
    """Return the short table: one line for each budget and rival, over the cells that both have."""
    lines = []
    for minutes in sorted({r["minutes"] for r in rows}):
        for name in ORDER[1:]:
            own = [r for r in rows if (r["rival"], r["minutes"]) == (name, minutes)]
            both = [(r, ours[cell(r)]) for r in own if "failed" not in r and cell(r) in ours]
            if not both:
                continue
            counts = [verdict(r, o) for r, o in both]
            over = sum(r["used_s"] > 1.1 * 60 * minutes for r, _ in both)
            lines.append(
                f"| {minutes:g} min | {name} | {len(both)} | {mean(r['accuracy'] for r, _ in both):.3f} | "
                f"{mean(o['accuracy'] for _, o in both):.3f} | "
                f"{counts.count('win')} / {counts.count('tie')} / {counts.count('loss')} | "
                f"{median(r['used_s'] for r, _ in both):.0f} s against {median(o['used_s'] for _, o in both):.0f} s | "
                f"{over} of {len(both)} |"
            )
    titles = (
        "| time limit | other tool | runs | its mean test accuracy | tl-advise's "
        "| runs in which tl-advise is better / tied / worse | seconds used (median): it, tl-advise "
        "| its runs more than 10 % over the limit |"
    )
    return "\n".join([titles, "|---" * 8 + "|", *lines])


def as_early(rows: list[Row]) -> str:
    """Return how soon a model of tl-advise's was as accurate on the test as a rival at its end, as a share of its seconds.

    Over runs of the same limit, the model at the end included; never is never.
    """
    ours = {cell(r): r for r in rows if r["rival"] == OURS and "failed" not in r and r.get("reached")}
    ratios = []
    for row in rows:
        if row["rival"] != OURS and "failed" not in row and cell(row) in ours:
            mine = ours[cell(row)]
            moments = [*mine["reached"], (mine["used_s"], mine["accuracy"])]
            level = [s for s, accuracy in moments if accuracy >= row["accuracy"]]
            ratios.append(min(level, default=inf) / row["used_s"])
    never = sum(ratio == inf for ratio in ratios)
    return f"{median(ratios):.2f} (median of {len(ratios)}, {never} of them never)" if ratios else "not measured"


def absent() -> str:
    """Return the rivals that have no rows, each with the reason."""
    return "\n".join(f"| {name} | {reason} |" for name, reason in rivals.ABSENT.items())


def page(rows: list[Row]) -> str:
    """Return the whole page."""
    rows = sorted(rows, key=lambda r: (r["set"], r["minutes"], r["seed"], ORDER.index(r["rival"])))
    ours = {cell(r): r for r in rows if r["rival"] == OURS and "failed" not in r}
    compared = [r for r in rows if r["rival"] != OURS and "failed" not in r and cell(r) in ours]
    counts = [verdict(r, ours[cell(r)]) for r in compared]
    text = (HERE / "page.md").read_text(encoding="utf-8")
    return text.format(
        rows="\n".join(line(r, ours.get(cell(r))) for r in rows),
        counts=f"won {counts.count('win')}, tied {counts.count('tie')} and lost {counts.count('loss')}",
        n=len(counts),
        summary=summary(rows, ours),
        early=as_early(rows),
        absent=absent(),
        remarks=(HERE / "remarks.md").read_text(encoding="utf-8").strip(),
    )


def main() -> None:
    """Write the page, and the plot where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plot", action="store_true")
    args = parser.parse_args()
    rows = [json.loads(text) for text in ROWS.read_text(encoding="utf-8").splitlines()]
    PAGE.write_text(page(rows), encoding="utf-8")
    if args.plot:
        import plot

        plot.draw(rows)


if __name__ == "__main__":
    main()
