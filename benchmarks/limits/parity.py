"""Whether exports predict what `predict` predicts: every first-party network, three formats, 200 real photos.

    python benchmarks/limits/parity.py --data DIR [--only NAME ...] [--size 112] [--images 200] [--limit-s 300]
    python benchmarks/limits/parity.py --table

Each network has random weights, BatchNorm statistics of photos, and a random head that spreads ten classes over them; where
pretrained weights are available locally, a second row has those. Rows are appended to benchmarks/results/parity.jsonl; what
has a row there is skipped, so that a stopped run continues. Networks with one possible input size use that. `--table` writes
the table into docs/export.md. Needs `tl-advise[onnx]`.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from advisor import registry
from advisor.data import pixels
from advisor.errors import AdviseError
from advisor.exporting import parity, run_export
from advisor.heads.linear_head import LinearHead
from advisor.hooks import Backbone
from advisor.models import backbone, classifier, predictor, pretrained_weights

RESULTS = Path(__file__).parents[1] / "results" / "parity.jsonl"
PAGE = Path(__file__).parents[2] / "docs" / "export.md"
BEGIN, END = "<!-- parity:begin -->", "<!-- parity:end -->"
FORMATS = ("torch", "onnx", "safetensors")
CLASSES = tuple(f"class {number}" for number in range(10))
FIXED_PX = {"vit_b_16": 224}
FITTED_ON = 48  # photos that give BatchNorm its statistics and the head its scale
TEMPERATURE = 1.3


def main() -> None:
    """Measure what has no row yet, or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder with photos, at any depth")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="only these networks")
    parser.add_argument("--size", type=int, default=112, metavar="PX")
    parser.add_argument("--images", type=int, default=200, metavar="N")
    parser.add_argument("--limit-s", type=float, default=float("inf"), help="start nothing new after this many seconds")
    parser.add_argument("--table", action="store_true")
    call = parser.parse_args()
    if call.table:
        page = PAGE.read_text(encoding="utf-8")
        before, after = page.split(BEGIN)[0], page.split(END)[1]
        PAGE.write_text(f"{before}{BEGIN}\n{table(rows())}\n{END}{after}", encoding="utf-8")
        return
    torch.set_num_threads(1)
    photos = sorted(p for p in call.data.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    photos = [photos[i * len(photos) // call.images] for i in range(call.images)]
    began = time.monotonic()
    done = {(row["network"], row["weights"], row["format"]) for row in rows()}
    for network, weights in networks(call.only):
        for form in FORMATS:
            if (network.name, weights, form) in done:
                continue
            if time.monotonic() - began > call.limit_s:
                return
            row = measure(network, weights, form, photos, call.data, FIXED_PX.get(network.name, call.size))
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)


def networks(only: list[str]) -> list[tuple[Backbone, str]]:
    """List networks with the origin of their weights: pretrained ones first, then random ones, the smallest first."""
    offered = [b for b in registry.load().backbones.values() if not b.name.startswith("timm/")]
    chosen = sorted((b for b in offered if not only or b.name in only), key=lambda b: b.macs or 0)
    local = [b for b in chosen if pretrained_weights.locate(b, offline=True).state in ("built_in", "cached")]
    return [*((b, "pretrained") for b in local), *((b, "random") for b in chosen)]


def measure(network: Backbone, weights: str, form: str, photos: list[Path], data: Path, size_px: int) -> dict[str, Any]:
    """Export one network and compare; a comparison that fails is a row as well."""
    began = time.monotonic()
    row = {"network": network.name, "weights": weights, "format": form, "size_px": size_px, "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        run.mkdir()
        write_run(run, network, weights, photos, data, size_px)
        try:
            agreed = run_export.export(run, form, registry=registry.load(), data=data, tolerance=1.0).parity
            row |= {"n": agreed.n, "agreement": agreed.agreement, "worst": agreed.worst}
        except AdviseError as error:
            row |= {"error": str(error)}
    return {**row, "seconds": round(time.monotonic() - began, 1)}


def write_run(run: Path, network: Backbone, weights: str, photos: list[Path], data: Path, size_px: int) -> None:
    """Write what an export reads of a run directory: model, list of images, card."""
    rule = pixels.rule_for(network.preprocess, size_px, "crop")
    step = max(1, len(photos) // FITTED_ON)
    squares = pixels.centre(np.stack([pixels.decode(p, rule) for p in photos[::step]]), size_px)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (network.preprocess.mean, network.preprocess.std))
    images_NCHW = (torch.from_numpy(squares.copy()).permute(0, 3, 1, 2).float() / 255 - mean) / std
    if weights == "random":
        body = with_statistics(backbone.build(network, seed=3), images_NCHW)
    else:
        located = pretrained_weights.locate(network, offline=True)
        body = backbone.build(network, pretrained_weights.read(network, located)[0]).eval()
    predictor.save(
        classifier.Classifier(network, body, random_head(network, body, images_NCHW), "last"),
        run / "model.safetensors",
        run / "model.json",
        classes=CLASSES,
        preprocess=network.preprocess,
        size_px=size_px,
        fit="crop",
        temperature=TEMPERATURE,
    )
    (run / "README.md").write_text("a network for a benchmark\n", encoding="utf-8")
    with (run / "splits.csv").open("w", newline="", encoding="utf-8") as stream:
        lines = csv.writer(stream)
        lines.writerow(("path", "label", "split", "group", "sha256"))
        lines.writerows((p.relative_to(data).as_posix(), CLASSES[0], "test", "", "") for p in photos)


def random_head(network: Backbone, body: nn.Module, images_NCHW: torch.Tensor) -> LinearHead:
    """Draw a head whose logits vary by about one over the images, so that the classes differ."""
    plain = classifier.Classifier(network, body, nn.Identity(), "last").eval()
    with torch.no_grad():
        features_ND = torch.cat([plain.features(part) for part in torch.split(images_NCHW, 8)])
    draw = torch.Generator().manual_seed(4)
    weight = torch.randn(len(CLASSES), features_ND.shape[1], generator=draw) / (features_ND.std(0).norm() + 1e-6)
    return LinearHead(weight, -weight @ features_ND.mean(0))


def with_statistics(body: nn.Module, images_NCHW: torch.Tensor) -> nn.Module:
    """Fit the BatchNorm statistics of a random network to photos; otherwise its features hardly differ between images."""
    norms = [m for m in body.eval().modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        for part in torch.split(images_NCHW, 16) if norms else ():
            body(part)
    return body.eval()


def rows() -> list[dict[str, Any]]:
    """Read what is measured so far."""
    return [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()] if RESULTS.exists() else []


def table(measured: list[dict[str, Any]]) -> str:
    """Write a row per network: the worst difference of a probability by format, and the agreement."""
    lines = [
        "| network | weights | px | photos | torch | onnx | safetensors | same first class |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, weights in sorted({(r["network"], r["weights"]) for r in measured}):
        own = {r["format"]: r for r in measured if (r["network"], r["weights"]) == (name, weights)}
        first = next(iter(own.values()))
        cells = [_worst(own.get(form)) for form in FORMATS]
        agreed = [r["agreement"] for r in own.values() if "agreement" in r]
        least = f"{100 * min(agreed):.1f} %" if agreed else "–"
        lines.append(
            f"| {name} | {weights} | {first['size_px']} | {first.get('n', 0)} | {' | '.join(cells)} | {least} |"
        )
    worst = max((r["worst"] for r in measured if "worst" in r), default=0.0)
    passed = sum(r.get("agreement") == 1.0 and r["worst"] <= parity.TOLERANCE for r in measured)
    return "\n".join([*lines, "", f"{passed} of {len(measured)} exports pass; the worst difference is {worst:.1e}."])


def _worst(row: dict[str, Any] | None) -> str:
    if row is None:
        return "–"
    return f"{row['worst']:.1e}" if "worst" in row else "failed"


if __name__ == "__main__":
    main()
