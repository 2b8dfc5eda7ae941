"""Read random data sets, damaged and odd files among them, and compare each profile with an independent slow reader.

    python benchmarks/robustness/fuzz.py --inputs 2000 --seed 0 --out benchmarks/results/fuzz.json [--minutes M]

An input is a folder of classes, of splits (also under other names and languages), of splits inside of classes, flat folders
with a table, a table in a random dialect, or an archive, filled with small images of random formats and modes, with huge
headers, and with damage (cut, empty, text, foreign, hidden, links). It passes where it is read and the classes and their
counts equal those of the slow reader, or is refused in one line with a hint. Counted as failures: another exception, more
than 20 s of CPU or 10 minutes, a contradiction. The peak of resident memory is stated, and is a failure above PEAK_MB.
A run that was stopped continues with the next call. Does NOT cover: decoding to squares (`tests/data/test_pixels.py`).
"""

from __future__ import annotations

import argparse
import collections
import csv
import json
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from PIL import Image
from random_inputs import build

from advisor.data import dataset, profile
from advisor.errors import AdviseError

CPU_S, WALL_S = 20, 600
PEAK_MB = 1500


def slow_counts(root: Path, kind: str) -> dict[str, int]:
    """Count the images that Pillow opens, by class, file by file."""
    if kind == "flat":
        table = next(root.glob("*.csv"))
        with open(table, encoding="utf-8", newline="") as stream:
            return dict(collections.Counter(row["label"] for row in csv.DictReader(stream)))
    counts: collections.Counter[str] = collections.Counter()
    depth = {"folders": 0, "splits": 1, "table": 1, "class_first": 0, "archive": 0}[kind]
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if not path.is_file() or path.name.startswith(".") or path.suffix in (".txt", ".nef", ".csv", ".tsv", ".zip"):
            continue
        try:
            with Image.open(path) as opened:
                if opened.mode[0] in "IF":
                    opened.load()  # its range is read, so that it must be whole
                counts[parts[depth]] += opened.width * opened.height <= Image.MAX_IMAGE_PIXELS * 2
        except TimeoutError:
            raise
        except Exception:  # whatever Pillow raises: the image does not count
            continue
    return {name: count for name, count in counts.items() if count}


def check(draws: random.Random, root: Path) -> str:
    """Build and read one input; return "read", "refused" with the reason, or why it failed."""
    kind, path = build(draws, root)
    try:
        data = dataset.read(path)
        counts = profile.measure(data).counts
    except AdviseError as error:
        in_one_line = error.hint and "\n" not in str(error) and error.exit_code == 2
        return f"refused: {reason(error, root)}" if in_one_line else f"bad refusal: {error}"
    except TimeoutError:
        return "hang"
    except Exception:  # any other error is the finding
        return traceback.format_exc()
    total = {name: counts["pool"][name] + counts["test"][name] for name in data.classes}
    expected = slow_counts(root, kind)
    return "read" if total == expected else f"contradiction ({kind}): {total} instead of {expected}; {data.warnings}"


def reason(error: AdviseError, root: Path) -> str:
    """Return why an input was refused, without what differs between inputs."""
    text = error.what.replace(str(root), "ROOT")
    return re.sub(r"\d+|\(.*?\)|class folder \S+|class .*? has", "...", text)[:100]


def stop(number: int, frame: object) -> None:
    """End an input that hangs."""
    raise TimeoutError


def one(seed: int, number: int) -> str:
    """Check one input within its time."""
    root = Path(tempfile.mkdtemp(prefix="fuzz-"))
    signal.setitimer(signal.ITIMER_PROF, CPU_S)
    signal.alarm(WALL_S)
    try:
        return check(random.Random(seed * 1_000_003 + number), root)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        shutil.rmtree(root, ignore_errors=True)


def main() -> int:
    """Check the inputs that are missing and write the counts; 3 where one failed or memory was above the bound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many, to continue at the next call")
    parser.add_argument("--out", type=Path, required=True)
    call = parser.parse_args()
    signal.signal(signal.SIGALRM, stop)
    signal.signal(signal.SIGPROF, stop)
    state: dict[str, Any] = {"inputs": 0, "outcomes": {}, "failures": [], "peak_memory_mb": 0, "seconds": 0.0}
    if call.out.exists():
        state |= json.loads(call.out.read_text())
    state["command"] = f"python benchmarks/robustness/fuzz.py --inputs {call.inputs} --seed {call.seed}"
    begun, before_s = time.monotonic(), float(state["seconds"])
    for number in range(int(state["inputs"]), call.inputs):
        outcome = one(call.seed, number)
        kind = outcome if outcome in ("read", "hang") or outcome.startswith("refused") else "failed"
        state["outcomes"][kind] = state["outcomes"].get(kind, 0) + 1
        if kind in ("hang", "failed"):
            state["failures"].append({"input": number, "outcome": outcome})
            print(number, outcome, flush=True)
        state["inputs"] = number + 1
        late = time.monotonic() - begun > 60 * call.minutes
        if late or (number + 1) % 50 == 0 or number + 1 == call.inputs:
            peak_mb = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            state |= {"peak_memory_mb": max(peak_mb, state["peak_memory_mb"])}
            state |= {"seconds": round(before_s + time.monotonic() - begun)}
            call.out.write_text(json.dumps(state, indent=1) + "\n")
        if late:
            break
    print(json.dumps({name: value for name, value in state.items() if name != "failures"}, indent=1))
    return 3 if state["failures"] or state["peak_memory_mb"] > PEAK_MB else 0


if __name__ == "__main__":
    sys.exit(main())
