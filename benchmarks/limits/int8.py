"""What INT8 loses and gains: `python benchmarks/limits/int8.py --data DIR [--set NAME] [--network NAME]`.

A logistic head on frozen features of a pretrained network at 128 pixels, exported and quantised with every setting of
`advisor.exporting.quantisation` on 100 training images (two settings on 20 as well); both graphs are scored on the same test
images. DIR holds the folders hymenoptera, five_flowers and cifar10. Results are appended to benchmarks/results/int8.jsonl;
what has a line there is skipped. `--table` prints them. Needs `tl-advise[onnx]` and the networks' pretrained weights.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parents[1] / "results" / "int8.jsonl"
SETS, NETWORKS = ("hymenoptera", "five_flowers", "cifar10"), ("mobilenet_v2", "squeezenet1_1", "efficientnet_lite0")
PX, TRAIN, TEST, CALIBRATION, FEW = 128, 400, 300, 100, 20


def rows() -> list[dict[str, Any]]:
    """Return what is measured so far."""
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def images(folder: Path) -> tuple[list[tuple[Path, int]], list[tuple[Path, int]]]:
    """Return (path, class) of training and test images, drawn with a fixed seed."""
    draw = np.random.default_rng(0)
    parts = [folder / "train", folder / ("test" if (folder / "test").is_dir() else "val")]
    if not parts[0].is_dir():
        parts = [folder]
    drawn = []
    for part in parts:
        names = sorted(p.name for p in part.iterdir() if p.is_dir())
        files = [
            (f, names.index(n)) for n in names for f in sorted((part / n).iterdir()) if f.suffix in (".jpg", ".png")
        ]
        drawn.append([files[i] for i in draw.permutation(len(files))])
    if len(drawn) == 1:
        return drawn[0][TEST:][:TRAIN], drawn[0][:TEST]
    return drawn[0][:TRAIN], drawn[1][:TEST]


def features(model: Any, squares: Any) -> Any:
    """Return the pooled features (N, D) of decoded squares (N, S, S, 3)."""
    import torch

    preprocess = model.preprocess
    mean, std = (np.array(v, np.float32) for v in (preprocess.mean, preprocess.std))
    with torch.inference_mode():
        parts = [
            model.classifier.features(
                torch.from_numpy((s / np.float32(255) - mean) / std).permute(0, 3, 1, 2).contiguous()
            )
            for s in np.array_split(squares, max(1, len(squares) // 32))
        ]
    return torch.cat(parts).numpy()


def classifier(name: str, train: list[tuple[Path, int]]) -> Any:
    """Return a predictor with a logistic head on the network's frozen features, and the decoded training images."""
    import torch
    from sklearn.linear_model import LogisticRegression

    from advisor import registry
    from advisor.exporting import parity
    from advisor.heads.linear_head import LinearHead
    from advisor.models import backbone as backbones
    from advisor.models import pretrained_weights
    from advisor.models.classifier import Classifier
    from advisor.models.predictor import Predictor

    backbone = registry.load().backbone(name)
    tensors = pretrained_weights.read(backbone, pretrained_weights.locate(backbone, offline=True))[0]
    body = backbones.build(backbone, tensors).eval()
    count = max(label for _, label in train) + 1

    def predictor(head: torch.nn.Module) -> Predictor:
        return Predictor(
            classifier=Classifier(backbone, body, head, "last").eval(),
            classes=tuple(map(str, range(count))),
            preprocess=backbone.preprocess,
            size_px=PX,
            fit="crop",
            temperature=1.0,
            description={"backbone": name, "weights_sha256": ""},
        )

    empty = predictor(LinearHead(torch.zeros(count, backbone.dim), torch.zeros(count)))
    squares, readable = parity.squares(empty, [path for path, _ in train])
    labels = np.array([label for path, label in train if path in set(readable)])
    rows = features(empty, squares)
    centre, spread = rows.mean(0), rows.std(0) + 1e-6
    fitted = LogisticRegression(C=1e-2, max_iter=500).fit((rows - centre) / spread, labels)
    weight = fitted.coef_ if count > 2 else np.concatenate([-fitted.coef_, fitted.coef_]) / 2
    bias = fitted.intercept_ if count > 2 else np.concatenate([-fitted.intercept_, fitted.intercept_]) / 2
    weight = (weight / spread).astype(np.float32)
    head = LinearHead(torch.from_numpy(weight), torch.from_numpy((bias - weight @ centre).astype(np.float32)))
    return predictor(head), squares


def measure(data: Path, set_name: str, network: str, until: float, *, timed: bool) -> None:
    """Append a line for every setting and number of calibration images that has none, until a time.monotonic()."""
    from advisor.exporting import int8_export, latency, parity, quantisation, sidecar
    from advisor.exporting.formats import onnx_graph
    from advisor.metrics import intervals

    done = {(r["set"], r["network"], r["setting"], r["calibration"]) for r in rows()}
    plan = [(s, CALIBRATION) for s in quantisation.SETTINGS] + [(s, FEW) for s in quantisation.SETTINGS[:2]]
    missing = [(s, n) for s, n in plan if (set_name, network, s.name, n) not in done]
    if not missing:
        return
    train, test = images(data / set_name)
    model, train_squares = classifier(network, train)
    test_squares, readable = parity.squares(model, [path for path, _ in test])
    labels = np.array([label for path, label in test if path in set(readable)])
    with tempfile.TemporaryDirectory() as name:
        source, prepared, target = (Path(name) / f"{stem}.onnx" for stem in ("float", "prepared", "int8"))
        source.write_bytes(onnx_graph.serialized(model, sidecar.describe(model, "onnx", "model.onnx")))
        quantisation.prepare(source, prepared)
        before = int8_export.answers(onnx_graph.session(source), test_squares)
        cost = latency.of_model(source, test_squares[:8])
        for setting, number in missing:
            if time.monotonic() > until:
                return
            quantisation.quantise(prepared, target, setting, train_squares[:number])
            after = int8_export.answers(onnx_graph.session(target), test_squares)
            right = [(p.argmax(1) == labels).astype(float) for p in (before, after)]
            low, high = intervals.paired_bootstrap(right[1], right[0])
            made = latency.of_model(target, test_squares[:8])
            row = {
                "set": set_name, "network": network, "setting": setting.name, "calibration": number, "n": len(labels),
                "before": right[0].mean(), "after": right[1].mean(), "ci95": [low, high],
                "changed": float((before.argmax(1) != after.argmax(1)).mean()),
                "divergence": int8_export.divergence(before, after),
                "mb": [cost.mb, made.mb], "ms": [cost.ms, made.ms] if timed else None,
            }  # fmt: skip
            print(row, flush=True)
            with open(RESULTS, "a") as stream:
                stream.write(json.dumps(row) + "\n")


def table() -> None:
    """Print a row for every set and network with its best setting, and the mean over both for every setting."""
    measured = rows()
    print("| set | network | n | float32 | INT8 | change, 95 % interval | answers changed | setting | MB | ms |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    pairs = list(dict.fromkeys((r["set"], r["network"]) for r in measured))
    for pair in pairs:
        own = [r for r in measured if (r["set"], r["network"]) == pair and r["calibration"] == CALIBRATION]
        if not own:
            continue
        r = min(own, key=lambda r: r["divergence"])
        low, high = (100 * v for v in r["ci95"])
        times = f"{r['ms'][0]:.1f} -> {r['ms'][1]:.1f}" if r["ms"] else "–"
        print(
            f"| {pair[0]} | {pair[1]} | {r['n']} | {r['before']:.3f} | {r['after']:.3f} | "
            f"{100 * (r['after'] - r['before']):+.1f} ({low:+.1f} to {high:+.1f}) | {r['changed']:.1%} | {r['setting']} | "
            f"{r['mb'][0]:.1f} -> {r['mb'][1]:.1f} | {times} |"
        )
    print(
        "\n| setting | calibration images | pairs | mean change, points | worst | answers changed | divergence, nats |"
    )
    print("|---|---|---|---|---|---|---|")
    for setting, number in dict.fromkeys((r["setting"], r["calibration"]) for r in measured):
        own = [r for r in measured if (r["setting"], r["calibration"]) == (setting, number)]
        changes = np.array([100 * (r["after"] - r["before"]) for r in own])
        changed, nats = (np.mean([r[key] for r in own]) for key in ("changed", "divergence"))
        cells = (
            setting,
            number,
            len(own),
            f"{changes.mean():+.2f}",
            f"{changes.min():+.1f}",
            f"{changed:.1%}",
            f"{nats:.4f}",
        )
        print(f"| {' | '.join(map(str, cells))} |")


def main() -> None:
    """Measure, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--set", dest="sets", action="append", choices=SETS)
    parser.add_argument("--network", dest="networks", action="append", choices=NETWORKS)
    parser.add_argument("--seconds", type=float, default=500.0)
    parser.add_argument(
        "--untimed", action="store_true", help="leave milliseconds out: other work runs on this machine"
    )
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    if args.table:
        return table()
    if args.data is None:
        parser.error("--data DIR")
    import torch

    torch.set_num_threads(1)
    until = time.monotonic() + args.seconds
    for network in args.networks or NETWORKS:
        for set_name in args.sets or SETS:
            if time.monotonic() < until:
                measure(args.data, set_name, network, until, timed=not args.untimed)


if __name__ == "__main__":
    main()
