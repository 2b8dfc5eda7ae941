"""What a benchmark keeps: rows in a JSON file, written as they come, and the table made of them in docs/advice.md.

In: rows (plain dictionaries). Out: the file `NAME.json`, from which a benchmark that was stopped goes on, and the text
between `<!-- NAME -->` and `<!-- /NAME -->` in the page. Does NOT cover: what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "advice.md"
RESULTS = ROOT / "benchmarks" / "results"

Row = dict[str, Any]


def shared() -> Path:
    """Where the shared data lie: TL_ADVISE_SHARED, else beside the checkout."""
    return Path(os.environ.get("TL_ADVISE_SHARED", ROOT / ".." / "shared" / "data")).resolve()


def unpacked(name: str, to: Path) -> Path:
    """Return the folder of a shared data set, unpacked below `to` where it is not there yet."""
    import subprocess
    import sys

    if not (to / name).is_dir():
        subprocess.run([sys.executable, shared() / "unpack.py", name, "--to", to], check=True)
    return to / name


def machine() -> str:
    """Name the kind of machine: processor, cores, libraries."""
    import torch

    model = "unknown CPU"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        match = re.search(r"model name\s*: (.+)", cpuinfo.read_text(encoding="ascii", errors="replace"))
        model = match.group(1).strip() if match else model
    return f"{os.cpu_count()}-core {model}, CPU only, torch {torch.__version__}"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what every resumable benchmark takes: where data and rows lie, only the table, a limit of time."""
    parser.add_argument("--data", type=Path, default=ROOT / ".scratch" / "data", help="where the sets are unpacked")
    parser.add_argument("--to", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="only write the table of what is there")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many, to go on at the next call")


class Ledger:
    """The rows of one benchmark; `add` writes the whole file anew, so that a kill loses at most one row."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.json"
        folder.mkdir(parents=True, exist_ok=True)
        self.rows: list[Row] = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else []

    def add(self, row: Row) -> None:
        """Append a row and write the file."""
        self.rows.append(row)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text("[\n" + ",\n".join(json.dumps(r) for r in self.rows) + "\n]\n", encoding="utf-8")
        temporary.replace(self.path)

    def has(self, **fields: Any) -> bool:
        """Whether a row with these fields is there."""
        return any(all(row.get(k) == v for k, v in fields.items()) for row in self.rows)

    def fill(
        self,
        args: argparse.Namespace,
        cases: Iterable[tuple[Row, Any]],
        seeds: int,
        load: Callable[[Any, Path], Any],
        once: Callable[[Any, Any, int], Sequence[Row]],
    ) -> None:
        """Add the rows of the seeds that are missing, until the time of `add_options` is over; none with --table.

        A case stands beside the fields that name it in a row, and has the `folder` of its images; `load` reads a case
        below a folder, once for all of its seeds, and `once` measures one seed.
        """
        until = time.monotonic() + 60 * args.minutes
        for fields, case in () if args.table else cases:
            missing = [seed for seed in range(seeds) if not self.has(**fields, seed=seed)]
            if not missing or time.monotonic() > until:
                continue
            unpacked(case.folder.split("/")[0], args.data)
            images = load(case, args.data)
            for seed in missing:
                if time.monotonic() < until:
                    for row in once(case, images, seed):
                        self.add({**fields, "seed": seed, **row})


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table, or that there is nothing to write yet."""
    if not rows:
        return "Not measured yet.\n"
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def publish(name: str, text: str, page: Path = PAGE) -> None:
    """Write a table between its markers in the page, and print it."""
    print(text)
    before = page.read_text(encoding="utf-8") if page.exists() else ""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if pattern.search(before):
        page.write_text(pattern.sub(lambda m: m.group(1) + text + m.group(2), before), encoding="utf-8")
