"""CPU seconds of one draw of the sampler after so many trials: `python benchmarks/scale/draws.py [--out FILE]` (a minute).

As it is (the newest 1,000 to 2,000 trials and the best 100 before those), and looking at all trials. The first draw after a
start reads what it looks at; each further one adds a trial, as a search does.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import sleepers  # noqa: E402

from advisor.records import Candidate, Trial  # noqa: E402
from advisor.records.messages import RunTrial  # noqa: E402
from advisor.tuning.candidates import BackboneAtSize  # noqa: E402
from advisor.tuning.trials import sampler  # noqa: E402

COUNTS, DRAWS = (100, 1000, 1900, 3000, 10_000), 10


def tried(count: int) -> tuple[dict[int, Candidate], dict[int, Trial]]:
    """Return so many candidates at random with made-up losses, by number."""
    draw, begun, ended = random.Random(0), {}, {}
    for number in range(count):
        parameters = {
            "rate": 10 ** draw.uniform(-3, 0),
            "depth": draw.randint(1, 8),
            "schedule": draw.choice(["cosine", "step"]),
        }
        begun[number] = Candidate(backbone="pocket", strategy="full", parameters=parameters, size_px=64)
        order = RunTrial(number=number, candidate=begun[number], folds=(0,), repeat=0, seed=0, started_s=0.0)
        ended[number] = sleepers.scored(order)
    return begun, ended


def measure(count: int) -> dict[str, Any]:
    """Draw after so many trials, then a few times more with the drawn one added."""
    begun, ended = tried(count)
    mirror = sampler.StudyMirror(0, [BackboneAtSize("pocket", 64)], {"full": sleepers.Rates()}, sleepers.context)
    seconds = []
    for _ in range(1 + DRAWS):
        before = time.process_time()
        candidate = mirror.sample(begun, ended)
        seconds.append(time.process_time() - before)
        number = len(begun)
        order = RunTrial(number=number, candidate=candidate, folds=(0,), repeat=0, seed=0, started_s=0.0)
        begun[number], ended[number] = candidate, sleepers.scored(order)
    return {"trials": count, "first_s": round(seconds[0], 4), "each_s": round(sum(seconds[1:]) / DRAWS, 4)}


def main() -> None:
    """Measure both ways and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    rows = [{"looks_at": "newest 1,000 to 2,000 and best 100", **measure(count)} for count in COUNTS]
    sampler.REMEMBERED = 10**9
    rows += [{"looks_at": "all", **measure(count)} for count in COUNTS]
    text = json.dumps({"cpu_seconds_of_a_draw": rows}, indent=1)
    print(text)
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
