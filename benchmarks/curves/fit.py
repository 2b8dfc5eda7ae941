"""Fit the predictor of a training's end on the recorded table, and measure it on data sets that were left out.

    python benchmarks/curves/fit.py [--curves FILE] [--to benchmarks/curves/predictor.json]

In: curves.jsonl. Out: predictor.json, and a table of errors: each data set predicted by the fit
to the others. The linear model is a ridge regression, its penalty chosen by leaving one data set out; the variances have the
highest likelihood of what it leaves unexplained. Does NOT cover: what a search makes of it (../search/simulate.py).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import earlier
import numpy as np
import numpy.typing as npt
import predictor
import table
from predictor import Predictor, Sighting, level
from scipy import optimize

Floats = npt.NDArray[np.float64]
PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0)
SPREADS = ("data", "network", "strategy", "near", "noise")
USUAL_VARIANCE = 0.02
HEAD_SPREADS = ("head data", "head network", "head noise")
Example = tuple[tuple[str, int], Sighting]  # the cell, and a training with its end


def examples(rows: Sequence[table.Row]) -> list[Example]:
    """List all trainings and heads with their ends, on all held-out images of their cells; probes are what they start from."""
    collected = []
    for cell, own in table.cells(rows).items():
        ends = [float(r.losses[-1].mean()) for r in own]
        floors = table.floors(own, ends)
        for row, end in zip(own, ends, strict=True):
            if row.place in floors and not row.is_probe:
                collected.append((cell, row.sighting(floors[row.place], final=end)))
    return collected


def targets(sightings: Sequence[Sighting]) -> Floats:
    """Return the logarithms of final log-losses over the probes', (n,)."""
    return np.array([level(s.final, s.floor) for s in sightings])


def linear(sightings: Sequence[Sighting], penalty: float) -> dict[str, float]:
    """Fit the weights of all features by ridge regression."""
    names = sorted({name for s in sightings for name in s.features})
    x_ND = np.array([[s.features.get(n, 0.0) for n in names] for s in sightings])
    weight = np.linalg.solve(x_ND.T @ x_ND + penalty * np.eye(len(names)), x_ND.T @ targets(sightings))
    return {n: round(float(w), 4) for n, w in zip(names, weight, strict=True)}


def variances(examples: Sequence[Example], residuals: Floats) -> dict[str, float]:
    """Return the variances under which residuals, which trainings of a cell share in part, are most likely."""
    chosen: dict[str, float] = {}
    for names, deep in ((SPREADS, True), (HEAD_SPREADS, False)):
        blocks = []
        for cell in sorted({c for c, _ in examples}):
            at = [i for i, (c, s) in enumerate(examples) if c == cell and bool(s.steps) == deep]
            if at:
                blocks.append((_parts(names, [examples[i][1] for i in at]), residuals[at]))
        start = np.log(np.full(len(names), USUAL_VARIANCE))
        optimum = optimize.minimize(_surprise, start, args=(blocks,), method="L-BFGS-B", options={"maxiter": 60})
        chosen |= {n: round(float(np.exp(v)), 6) for n, v in zip(names, optimum.x, strict=True)}
    return chosen


def _parts(names: Sequence[str], sightings: Sequence[Sighting]) -> Floats:
    """Return the covariance that one unit of each variance gives, (V, n, n): the whole is their sum, weighted."""
    parts = []
    for name in names:
        alone = Predictor(weights={}, variances={**dict.fromkeys((*SPREADS, *HEAD_SPREADS), 0.0), name: 1.0}, curve={})
        parts.append(alone.covariance(sightings, sightings) + np.diag([alone.noise(s) for s in sightings]))
    return np.stack(parts)


def _surprise(logs: Floats, blocks: Sequence[tuple[Floats, Floats]]) -> float:
    """Return the negative log-likelihood of residuals, with weak beliefs that keep every variance positive."""
    total = float(0.05 * ((logs - np.log(USUAL_VARIANCE)) ** 2).sum())
    for parts, residual in blocks:
        own = np.tensordot(np.exp(logs), parts, axes=1) + 1e-6 * np.eye(len(residual))
        total += float(np.linalg.slogdet(own)[1] + residual @ np.linalg.solve(own, residual)) / 2
    return total


def curves(rows: Sequence[table.Row]) -> dict[str, list[float]]:
    """Fit, at each share of the steps, the end as a line of the reading there: offset, slope, deviation."""
    pairs: dict[float, list[tuple[float, float]]] = {}
    for own in table.cells(rows).values():
        floors = table.floors(own, [float(r.losses[-1].mean()) for r in own])
        for row in own:
            for k, share in enumerate(row.shares[:-1]):
                if row.steps and row.place in floors:
                    seen = float(row.losses[k].mean()) * row.raw_over_scaled[k]
                    end = float(row.losses[-1].mean())
                    nearest = min((0.25, 0.5), key=lambda s: abs(s - share))
                    if abs(nearest - share) < 0.1:
                        floor = floors[row.place]
                        pairs.setdefault(nearest, []).append((level(seen, floor), level(end, floor)))
    fitted = {}
    for share, both in sorted(pairs.items()):
        x, y = np.array(both).T
        slope, offset = np.polyfit(x, y, 1) if len(x) > 2 else (1.0, 0.0)
        fitted[f"{share:g}"] = [round(float(v), 4) for v in (offset, slope, (y - offset - slope * x).std())]
    fitted["1"] = [0.0, 1.0, 0.02]
    return fitted


def fit(rows: Sequence[table.Row], without: str = "") -> Predictor:
    """Fit all coefficients, heads and trainings apart; penalties by leaving one data set out.

    On these rows and on what earlier benchmarks recorded, but for what belongs to the data set `without`.
    """
    rows = [r for r in rows if family(r.cell) != without]
    collected = [*examples(rows), *(e for e in earlier.examples() if family(e[0]) != without)]
    weights: dict[str, float] = {}
    residuals = np.zeros(len(collected))
    for deep in (False, True):
        at = [i for i, (_, s) in enumerate(collected) if bool(s.steps) == deep]
        sightings, families = [collected[i][1] for i in at], [family(collected[i][0]) for i in at]
        left_out = {p: _held_out(sightings, families, p) for p in PENALTIES}
        penalty = min(PENALTIES, key=lambda p: float((left_out[p] ** 2).mean()))
        residuals[at] = left_out[penalty]
        weights |= linear(sightings, penalty)
    return Predictor(weights=weights, variances=variances(collected, residuals), curve=curves(rows))


def family(cell: tuple[str, int]) -> str:
    """Name what is left out together with a cell."""
    return table.FAMILY.get(cell[0], cell[0])


def _held_out(sightings: Sequence[Sighting], families: Sequence[str], penalty: float) -> Floats:
    """Return what the linear model leaves unexplained of each data set, fitted without it."""
    residuals = np.zeros(len(sightings))
    for name in sorted(set(families)):
        inside = [i for i, f in enumerate(families) if f == name]
        others = [s for s, f in zip(sightings, families, strict=True) if f != name]
        own = [sightings[i] for i in inside]
        weights = linear(others, penalty) if others else {}
        residuals[inside] = targets(own) - Predictor(weights=weights, variances={}, curve={}).prior(own)
    return residuals


def fit_without(rows: Sequence[table.Row]) -> dict[str, Predictor]:
    """Fit one predictor for every data set, on the others."""
    names = sorted({family(r.cell) for r in rows})
    return {name: fit(rows, without=name) for name in names}


def errors(rows: Sequence[table.Row]) -> list[list[str]]:
    """Measure, a data set at a time, predictions by the fit to the others: deviation before and after what was seen."""
    lines = []
    for name, fitted in fit_without(rows).items():
        every = [*examples(rows), *earlier.examples()]
        own = [e for e in every if family(e[0]) == name and e[1].steps]
        prior, after, covered = [], [], []
        for cell in sorted({c for c, _ in own}):
            inside = [s for c, s in own if c == cell]
            order = np.random.default_rng(0).permutation(len(inside))
            for rank, i in enumerate(order):
                target = level(inside[i].final, inside[i].floor)
                unseen = [_unseen(inside[i])]
                before = [inside[j] for j in order[:rank]]
                floor = np.log(max(inside[i].floor, predictor.TINY))
                mean, deviation = fitted.posterior(unseen, before)
                prior.append(target - fitted.prior(unseen)[0])
                after.append(target - (mean[0] - floor))
                covered.append(abs(after[-1]) < 1.96 * deviation[0])
        spread = np.std([level(s.final, s.floor) for _, s in own])
        rms = [float(np.sqrt(np.mean(np.square(v)))) for v in (prior, after)]
        lines.append(
            [name, str(len(own)), f"{spread:.3f}", f"{rms[0]:.3f}", f"{rms[1]:.3f}", f"{100 * np.mean(covered):.0f} %"]
        )
    return lines


def _unseen(sighting: Sighting) -> Sighting:
    from dataclasses import replace

    return replace(sighting, final=None, share=0.0, loss=None)


def main() -> int:
    """Fit, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--curves", type=Path, default=table.RECORDED)
    parser.add_argument("--to", type=Path, default=predictor.COEFFICIENTS)
    args = parser.parse_args()
    rows = table.read(args.curves)
    titles = ["left out", "trainings", "spread", "error, unseen data", "error, after what was seen", "inside 95 %"]
    for line in [titles, *errors(rows)]:
        print("| " + " | ".join(line) + " |")
    fitted = fit(rows)
    stored: dict[str, Any] = {"weights": fitted.weights, "variances": fitted.variances, "curve": fitted.curve}
    args.to.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
