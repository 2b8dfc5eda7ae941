"""How well the end of a training is expected: the product's table of lifts beside the fitted predictor, on left-out data sets.

    python benchmarks/search/expectations.py [--curves FILE]

In: curves.jsonl. Out: the table in docs/search.md: errors of the logarithm of the final log-loss over the probe's, before
anything was trained on a data set, and after others of its cell. Does NOT cover: what a search makes of it.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "curves"), str(HERE.parent / "advice")]
import fit  # noqa: E402 (the two folders beside this one are scripts, not packages)
import ledger  # noqa: E402
import policies  # noqa: E402
import table  # noqa: E402
from predictor import Predictor, Sighting, level  # noqa: E402

from advisor.tuning import expected_loss  # noqa: E402

PAGE = ledger.ROOT / "docs" / "search.md"
NAMES = (
    "the probe's own log-loss",
    "table of lifts, unseen",
    "table of lifts, after others",
    "fitted, unseen",
    "fitted, after others",
)


def of_cell(own: Sequence[table.Row], fitted: Predictor) -> list[list[float]]:
    """Return the errors (n, 5) of all trainings of a cell, in the order of `NAMES`."""
    floors = table.floors(own, [float(r.losses[-1].mean()) for r in own])
    seen = [r.sighting(floors[r.place], final=float(r.losses[-1].mean())) for r in own if r.place in floors]
    probes = [s for s in seen if s.candidate.strategy == "ridge"]
    trained = [s for s in seen if s.steps]
    errors = []
    order = np.random.default_rng(0).permutation(len(trained))
    for rank, i in enumerate(order):
        target, before = level(trained[i].final, trained[i].floor), [trained[j] for j in order[:rank]]
        expected = [
            0.0,
            _by_table(trained[i], probes, []),
            _by_table(trained[i], probes, before),
            _by_fit(trained[i], fitted, []),
            _by_fit(trained[i], fitted, before),
        ]
        errors.append([value - target for value in expected])
    return errors


def _by_table(sighting: Sighting, probes: Sequence[Sighting], before: Sequence[Sighting]) -> float:
    records, trials = policies.records([*probes, *before])
    s = sighting
    reached = expected_loss.expected(s.candidate, s.regime, s.steps, records, trials, table.PUBLISHED)
    return math.log(reached / s.floor)


def _by_fit(sighting: Sighting, fitted: Predictor, before: Sequence[Sighting]) -> float:
    mean, _ = fitted.posterior([replace(sighting, final=None)], before)
    return float(mean[0]) - math.log(sighting.floor)


def main() -> int:
    """Measure all cells, each with what was fitted without its data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--curves", type=Path, default=table.RECORDED)
    args = parser.parse_args()
    rows = table.read(args.curves)
    fitted = fit.fit_without(rows)
    errors = np.array([e for c, own in table.cells(rows).items() for e in of_cell(own, fitted[fit.family(c)])])
    lines = [
        [name, f"{np.sqrt((e**2).mean()):.3f}", f"{e.mean():+.3f}", f"{np.median(np.abs(e)):.3f}"]
        for name, e in zip(NAMES, errors.T, strict=True)
    ]
    titles = [f"{len(errors)} trainings, expected by", "root mean square", "mean", "median of absolute values"]
    ledger.publish("expectations", ledger.table(titles, lines), PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
