"""What a teacher brings to a small network: paired against the same network without it, on small samples of shared sets.

    python benchmarks/distillation/run.py [--seeds 1] [--data DIR] [--to DIR] [--work DIR] [--minutes M]

A set is a sample: images to train on, test images, and others without labels. The teacher is the run of a head on frozen
MobileNetV2 features, both views and all stages; it is made once per set. Students train at 64 px. Each row is one `tl-advise
distill`, and states what that command states. Stopped, it goes on with the rows that are missing.
Does NOT cover: teachers that were fine-tuned, other weights and temperatures, seconds.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "advice"))
import ledger

import advisor
from advisor.records import Settings
from advisor.workflows.distillation import distilled_run

TRAIN, TEST, UNLABELLED = 300, 500, 600
EPOCHS, STUDENT_PX, TEACHER_PX = 10, 64, 128
STUDENTS = ("pocket", "squeezenet1_1", "efficientnet_lite0")


@dataclass(frozen=True)
class Case:
    """A set and the folder of its class folders."""

    name: str
    folder: str


CASES = (Case("five flowers", "five_flowers"), Case("sketches", "pacs/sketch"), Case("CIFAR-10", "cifar10/test"))


def sample(case: Case, data: Path, work: Path) -> tuple[Path, Path]:
    """Write the table of a sample and a folder of links to unlabelled images; return both."""
    table, unlabelled = work / "data.csv", work / "unlabelled"
    if table.is_file():
        return table, unlabelled
    root = (data / case.folder).resolve()
    files = sorted(p for p in root.rglob("*") if p.is_file() and p.suffix.lower() in (".jpg", ".png"))
    order = np.random.default_rng(0).permutation(len(files))[: TRAIN + TEST + UNLABELLED]
    unlabelled.mkdir(parents=True, exist_ok=True)
    for number in order[TRAIN + TEST :]:
        (unlabelled / f"{number:06d}{files[number].suffix}").symlink_to(files[number])
    with open(table, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("path", "label", "split"))
        for rank, number in enumerate(order[: TRAIN + TEST]):
            name = files[number].relative_to(root).as_posix()
            writer.writerow((name, files[number].parent.name, "train" if rank < TRAIN else "test"))
    return table, unlabelled


def teacher(table: Path, root: Path, work: Path) -> Path:
    """Return the teacher's run, made where it is not there yet."""
    run = work / "teacher"
    if not (run / "result.json").is_file():
        small = {"backbones": ["mobilenet_v2"], "strategies": ["ridge"], "size": TEACHER_PX}
        advisor.advise(table, root=str(root), trials=1, out=run, threads=1, offline=True, **small)
    return run


def row(case: Case, student: str, seed: int, *, unlabelled: bool, data: Path, work: Path) -> ledger.Row:
    """Distil once; return what the result states."""
    here = work / case.name.replace(" ", "-")
    here.mkdir(parents=True, exist_ok=True)
    table, more = sample(case, data, here)
    out = here / f"{student}-{seed}{'-unlabelled' if unlabelled else ''}-{int(time.time())}"
    result = distilled_run.distil(
        teacher(table, (data / case.folder).resolve(), here),
        out=out,
        settings=Settings(data="", backbones=(student,), size_px=STUDENT_PX, seed=seed, threads=1, offline=True),
        images=more if unlabelled else None,
        overrides=(f"epochs={EPOCHS}",),
    )
    part = result.distillation
    assert part is not None
    assert part.gain is not None
    assert part.log_loss_gain is not None
    assert part.plain.test is not None
    assert result.test is not None
    return {
        "teacher": part.teacher_test,
        "plain": part.plain.test.accuracy,
        "distilled": result.test.accuracy,
        "gain": [part.gain.over_baseline, *part.gain.ci95],
        "log_loss_gain": [part.log_loss_gain.over_baseline, *part.log_loss_gain.ci95],
        "n": result.test.n,
    }


def lines(rows: list[ledger.Row]) -> list[list[str]]:
    """Return a line of the table for every row."""
    body = []
    for one in sorted(rows, key=lambda r: (r["data"], r["student"], r["unlabelled"], r["seed"])):
        gain, low, high = (100 * value for value in one["gain"])
        lower, least, most = one["log_loss_gain"]
        body.append(
            [
                one["data"],
                one["student"],
                str(UNLABELLED) if one["unlabelled"] else "",
                str(one["seed"]),
                f"{100 * one['teacher']:.1f}",
                f"{100 * one['plain']:.1f}",
                f"{100 * one['distilled']:.1f}",
                f"{gain:+.1f} ({low:+.1f} to {high:+.1f})",
                f"{-lower:+.3f} ({-most:+.3f} to {-least:+.3f})",
            ]
        )
    return body


TITLES = (
    "data", "student", "unlabelled", "seed", "teacher, %", "plain, %", "distilled, %", "gain, points", "log-loss"
)  # fmt: skip


def main() -> None:
    """Compute the rows that are missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--data", type=Path, default=ledger.ROOT / ".scratch" / "data", help="where the sets are unpacked"
    )
    parser.add_argument("--to", type=Path, default=ledger.RESULTS)
    parser.add_argument("--work", type=Path, default=ledger.ROOT / ".scratch" / "distillation", help="for the runs")
    parser.add_argument("--table", action="store_true", help="only write the table of what is there")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many, to go on at the next call")
    args = parser.parse_args()
    until = time.monotonic() + 60 * args.minutes
    book = ledger.Ledger(args.to, "distillation")
    plan = [
        (seed, student, unlabelled, case)
        for seed in range(args.seeds)
        for student in STUDENTS
        for unlabelled in (False, True)
        for case in CASES
    ]
    for seed, student, unlabelled, case in () if args.table else plan:
        own = {"data": case.name, "student": student, "unlabelled": unlabelled, "seed": seed}
        if not book.has(**own) and time.monotonic() < until:
            ledger.unpacked(case.folder.split("/")[0], args.data)
            book.add({**own, **row(case, student, seed, unlabelled=unlabelled, data=args.data, work=args.work)})
    what = f"{TRAIN} training and {TEST} test images, {EPOCHS} epochs at {STUDENT_PX} px"
    note = f"\n{what}; the teacher is ridge on MobileNetV2 at {TEACHER_PX} px; {ledger.machine()}.\n"
    ledger.publish(
        "distillation", ledger.table(TITLES, lines(book.rows)) + note, ledger.ROOT / "docs" / "distillation.md"
    )


if __name__ == "__main__":
    sys.exit(main())
