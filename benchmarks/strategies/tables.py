"""Write the tables of docs/strategies.md from benchmarks/results: `python benchmarks/strategies/tables.py`.

Every table stands between two marks in the page; what has no lines yet is said so. Nothing is run here.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from suites import SUITES

ROOT = Path(__file__).parents[2]
PAGE, RESULTS = ROOT / "docs" / "strategies.md", ROOT / "benchmarks" / "results"
Row = dict[str, Any]
# What each way of training extends: the plain way that it is held against.
PLAIN = {
    "gradual": "full",
    "discriminative": "full",
    "lp_ft": "full",
    "l2_sp": "full",
    "wise_ft": "full",
    "ema": "full",
    "partial": "extraction, all stages",
    "partial, 2 stages": "partial",
    "norm_only": "partial",
    "norm_only, batch statistics": "partial",
    "bias_only": "partial",
    "surgical, stem": "partial",
    "surgical, middle": "partial",
    "full": "extraction, all stages",
}


def main() -> None:
    """Rewrite every marked part of the page."""
    text = PAGE.read_text(encoding="utf-8")
    tables: dict[str, Callable[[], str]] = {
        "classic": classic,
        "advised": advised,
        "flowers": flowers,
        "each": each,
        "novel": novel,
        "adaptation": adaptation,
    }
    for name, table in tables.items():
        part = f"<!-- {name}:begin -->\n{table() or 'Not measured yet.'}\n<!-- {name}:end -->"
        text, count = re.subn(rf"<!-- {name}:begin -->.*<!-- {name}:end -->", lambda _: part, text, flags=re.DOTALL)  # noqa: B023
        if count != 1:
            raise SystemExit(f"{PAGE}: expected the marks of {name} once, found them {count} times")
    PAGE.write_text(text, encoding="utf-8")


def lines(name: str) -> list[Row]:
    """Read the rows of a file; none where it is not there."""
    path = RESULTS / name
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def by_arm(suite: str) -> dict[str, dict[int, Row]]:
    """Group a suite's rows by arm and seed, in the suite's order; `full` stands before `wise_ft`, which trained it."""
    arms: dict[str, dict[int, Row]] = {}
    order = [n for name in SUITES[suite].arms for n in (("full", name) if name == "wise_ft" else (name,))]
    rows = [r for r in lines("strategies.jsonl") if r["key"]["suite"] == suite]
    for name in order:
        own = {r["key"]["seed"]: r for r in rows if r["key"]["arm"] == name}
        if own:
            arms[name] = own
    return arms


def spread(values: Sequence[float]) -> str:
    """Return the mean of accuracies in per cent, ± their standard deviation where there are several."""
    each = [100 * v for v in values]
    return f"{statistics.fmean(each):.1f}" + (f" ± {statistics.stdev(each):.1f}" if len(each) > 1 else "")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)) if rows else ""


def classic() -> str:
    """The four arms of the usual notebook, on all images and on a fifth of them."""
    small, whole = by_arm("classic-10000"), by_arm("classic-50000")
    rows = []
    for name in small:
        own, all_ = list(small[name].values()), list(whole.get(name, {}).values())
        cells = [
            f"{spread([r['accuracy'] for r in own])} ({len(own)})",
            f"{statistics.median(r['seconds'] for r in own):.0f} s",
        ]
        cells += [spread([all_[0]["accuracy"]]), f"{all_[0]['seconds']:.0f} s"] if all_ else ["-", "-"]
        rows.append([name, *cells])
    return table(("arm", "10,000 images, % (seeds)", "steps took", "50,000 images, % (1 seed)", "steps took"), rows)


def advised() -> str:
    """What the advisor's guesses reach with about as many multiply-adds."""
    arms = by_arm("advised-10000")
    rows = []
    for name, own in arms.items():
        took = statistics.median(r["seconds"] for r in own.values())
        accuracy = f"{spread([r['accuracy'] for r in own.values()])} ({len(own)})"
        rows.append([name, accuracy, f"{took:.0f} s" if took else "-"])
    return table(("10,000 images", "test accuracy, % (seeds)", "steps took"), rows)


def flowers() -> str:
    """Pretrained against scratch, and the ways of training, at equal steps."""
    rows = []
    for name, own in by_arm("flowers").items():
        took = statistics.median(r["seconds"] for r in own.values())
        alpha = ", ".join(f"{r['alpha']:g}" for r in own.values() if "alpha" in r)
        shown = name + (f" (alpha {alpha})" if alpha else "")
        log_loss = statistics.fmean(r["log_loss"] for r in own.values())
        accuracy = spread([r["accuracy"] for r in own.values()])
        rows.append([shown, accuracy, str(len(own)), f"{log_loss:.2f}", f"{took:.0f} s" if took else "-"])
    return table(("way", "test accuracy, %", "seeds", "log-loss", "steps took"), rows)


def each() -> str:
    """Each strategy beside the plain one that it extends: accuracy, and the difference seed by seed."""
    suites = ("each-flowers", "each-sketches")
    by_suite = {suite: by_arm(suite) for suite in suites}
    rows = []
    for name in dict.fromkeys([*by_suite[suites[0]], *by_suite[suites[1]]]):
        plain = PLAIN.get(name, "")
        cells = []
        for suite in suites:
            own = by_suite[suite].get(name, {})
            cells.append(f"{spread([r['accuracy'] for r in own.values()])} ({len(own)})" if own else "-")
            cells.append(_difference(own, by_suite[suite].get(plain, {})))
        rows.append([name, plain or "-", *cells])
    return table(("strategy", "extends", "five flowers, %", "points", "sketches, %", "points"), rows)


def _difference(own: Mapping[int, Row], plain: Mapping[int, Row]) -> str:
    seeds = sorted(set(own) & set(plain))
    if not seeds:
        return "-"
    points = [100 * (own[s]["accuracy"] - plain[s]["accuracy"]) for s in seeds]
    return f"{statistics.fmean(points):+.1f}" + (
        f" [{min(points):+.1f} .. {max(points):+.1f}]" if len(points) > 1 else ""
    )


def novel() -> str:
    """Few-shot accuracy on classes that nothing was trained on."""
    recorded = lines("novel.jsonl")
    rows = []
    for name in dict.fromkeys(r["key"]["line"] for r in recorded):
        cells = []
        for shots in (1, 5):
            for layers in ("last", "all"):
                here = {"line": name, "shots": shots, "layers": layers}
                own = [r for r in recorded if here.items() <= r["key"].items()]
                half = statistics.fmean((r["high"] - r["low"]) / 2 for r in own) / len(own) ** 0.5
                cells.append(f"{100 * statistics.fmean(r['accuracy'] for r in own):.1f} ± {100 * half:.1f}")
        rows.append([name, *cells, str(len({r["key"]["seed"] for r in recorded if r["key"]["line"] == name}))])
    return table(
        ("", "1 shot, last stage", "1 shot, all stages", "5 shots, last", "5 shots, all", "class splits"), rows
    )


def adaptation() -> str:
    """Photos to sketches: every arm's held-out source, criterion and target accuracy."""
    recorded = lines("adaptation.jsonl")
    rows = []
    for name in dict.fromkeys(r["key"]["arm"] for r in recorded):
        own = [r for r in recorded if r["key"]["arm"] == name]
        target = [100 * r["target"] for r in own]
        source = 100 * statistics.fmean(r["source"] for r in own)
        information = statistics.fmean(r["information"] for r in own)
        span = f"{statistics.fmean(target):.1f} [{min(target):.1f} .. {max(target):.1f}]"
        rows.append([name, str(len(own)), f"{source:.1f}", f"{information:.2f}", span])
    return table(("arm", "seeds", "held-out source, %", "information", "target, %, mean [min .. max]"), rows)


if __name__ == "__main__":
    main()
