"""What every rival's script shares: its arguments, lists of images, answers as CSV, one JSON line at the end."""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import json
import os
import resource
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png")


def images(folder: str) -> list[Path]:
    """List the images below a folder."""
    return sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in SUFFIXES)


def write_answers(path: str, rows: Iterable[tuple[Path, str]]) -> None:
    """Write path,label."""
    with open(path, "w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(("path", "label"))
        table.writerows((str(p), label) for p, label in rows)


def elapsed_s() -> float:
    """Return the seconds since the arena started this process; imports count."""
    return time.time() - float(os.environ.get("ARENA_BEGAN", time.time()))


def finish(reported: float | None, *packages: str, history: Sequence[tuple[float, float]] = ()) -> None:
    """Print what the tool reports of itself, its versions and the peak memory of its largest process.

    `history` holds (seconds since the start, validation accuracy of what was best then), where the tool shows it.
    """
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    versions = {name: importlib.metadata.version(name) for name in packages}
    print(
        json.dumps({"reported": reported, "versions": versions, "peak_kb": peak, "history": list(history)}), flush=True
    )


def moments_of(out: Path) -> Path:
    """Name the folder, beside what is trained, with the models that could be used before the end; not every rival has one."""
    return out.with_name(f"{out.name}-moments")


Command = Callable[[argparse.Namespace], None]


def run(train: Command, predict: Command, moments: Command | None = None) -> None:
    """Read the command line and do what it asks for."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("train")
    one.add_argument("train")
    one.add_argument("out")
    one.add_argument("--seconds", type=float)
    one.add_argument("--seed", type=int)
    one.add_argument("--weights")
    one.add_argument("--threads", type=int)
    one.add_argument("--regime", default="full")
    one.add_argument("--presets", default="medium_quality")
    by_name: dict[str, Command] = {"train": train, "predict": predict, **({"moments": moments} if moments else {})}
    for name in list(by_name)[1:]:
        other = commands.add_parser(name)
        other.add_argument("out")
        other.add_argument("test")
        other.add_argument("answers")
    args = parser.parse_args()
    by_name[args.command](args)
