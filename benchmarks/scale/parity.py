"""Do exports say what `predict` says? Every first-party network, three formats, 200 real photos or more.

    python benchmarks/scale/parity.py --data DIR [--only NAME ...] [--size 112] [--images 200] [--limit-s 300]
    python benchmarks/scale/parity.py --table

Each network has random weights, its BatchNorm statistics taken from photos, and a random head that spreads ten classes
over them; where pretrained weights are here (a second row) it has those. A row a network and format goes to
`benchmarks/results/parity.jsonl` as soon as it is known; what stands there is not done again. Networks with one possible
input size keep it. `--table` writes the table into docs/export.md.
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
from advisor.heads import modules
from advisor.hooks import Backbone
from advisor.models import backbone, classifier, export, export_parity, predictor, pretrained_weights

RESULTS = Path(__file__).parents[1] / "results" / "parity.jsonl"
DOCS = Path(__file__).parents[2] / "docs" / "export.md"
BEGIN, END = "<!-- parity:begin -->", "<!-- parity:end -->"
FORMS = ("torch", "onnx", "safetensors")
CLASSES = tuple(f"class {number}" for number in range(10))
FIXED = {"vit_b_16": 224}  # its position embedding has one size
FITTED_ON = 48  # photos that give BatchNorm its statistics and the head its scale
TEMPERATURE = 1.3


def main() -> None:
    """Measure what is missing, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder with photos, however they lie in it")
    parser.add_argument("--only", nargs="*", default=[], help="these networks")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--limit-s", type=float, default=float("inf"), help="begin nothing new after so many seconds")
    parser.add_argument("--table", action="store_true")
    call = parser.parse_args()
    if call.table:
        page = DOCS.read_text(encoding="utf-8")
        before, after = page.split(BEGIN)[0], page.split(END)[1]
        DOCS.write_text(f"{before}{BEGIN}\n{table(rows())}\n{END}{after}", encoding="utf-8")
        return
    torch.set_num_threads(1)
    photos = sorted(p for p in call.data.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    photos = [photos[i * len(photos) // call.images] for i in range(call.images)]
    began = time.monotonic()
    for chosen, source in everything(call.only):
        for form in FORMS:
            if any((r["network"], r["weights"], r["format"]) == (chosen.name, source, form) for r in rows()):
                continue
            if time.monotonic() - began > call.limit_s:
                return
            row = measure(chosen, source, form, photos, call.data, FIXED.get(chosen.name, call.size))
            with open(RESULTS, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)


def everything(only: list[str]) -> list[tuple[Backbone, str]]:
    """List networks with where their weights come from, cheap ones first."""
    known = registry.load().backbones.values()
    chosen = sorted((b for b in known if not only or b.name in only), key=lambda b: b.macs or 0)
    here = [b for b in chosen if pretrained_weights.locate(b, offline=True).state in ("built_in", "cached")]
    return [*((b, "pretrained") for b in here), *((b, "random") for b in chosen)]


def measure(chosen: Backbone, source: str, form: str, photos: list[Path], data: Path, size_px: int) -> dict[str, Any]:
    """Export one network and compare; a comparison that does not hold is a row as well."""
    began = time.monotonic()
    row = {"network": chosen.name, "weights": source, "format": form, "size_px": size_px, "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        run.mkdir()
        write_run(run, chosen, source, photos, data, size_px)
        try:
            found = export.export(run, form, registry=registry.load(), data=data, tolerance=1.0).parity
        except AdviseError as error:
            return {**row, "error": str(error), "seconds": round(time.monotonic() - began, 1)}
    row |= {"n": found.n, "agreement": found.agreement, "worst": found.worst}
    return {**row, "seconds": round(time.monotonic() - began, 1)}


def write_run(run: Path, chosen: Backbone, source: str, photos: list[Path], data: Path, size_px: int) -> None:
    """Write what an export reads of a run directory: model, list of images, card."""
    rule = pixels.rule_for(chosen.preprocess, size_px, "crop")
    squares = pixels.centre(np.stack([pixels.decode(p, rule) for p in photos[:: len(photos) // FITTED_ON]]), size_px)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (chosen.preprocess.mean, chosen.preprocess.std))
    images_NCHW = (torch.from_numpy(squares.copy()).permute(0, 3, 1, 2).float() / 255 - mean) / std
    if source == "random":
        body = awake(backbone.build(chosen, seed=3), images_NCHW)
    else:
        body = backbone.build(
            chosen, pretrained_weights.read(chosen, pretrained_weights.locate(chosen, offline=True))[0]
        ).eval()
    plain = classifier.Classifier(chosen, body, nn.Identity(), "last").eval()
    with torch.no_grad():
        values_ND = torch.cat([plain.features(part) for part in torch.split(images_NCHW, 8)])
    draw = torch.Generator().manual_seed(4)
    weight = torch.randn(len(CLASSES), values_ND.shape[1], generator=draw) / (values_ND.std(0).norm() + 1e-6)
    head = modules.LinearHead(weight, -weight @ values_ND.mean(0))
    predictor.save(
        classifier.Classifier(chosen, body, head, "last"),
        run / "model.safetensors",
        run / "model.json",
        classes=CLASSES,
        preprocess=chosen.preprocess,
        size_px=size_px,
        fit="crop",
        temperature=TEMPERATURE,
    )
    (run / "README.md").write_text("a network for a benchmark\n", encoding="utf-8")
    with open(run / "splits.csv", "w", newline="", encoding="utf-8") as stream:
        lines = csv.writer(stream)
        lines.writerow(("path", "label", "split", "group", "sha256"))
        lines.writerows((p.relative_to(data).as_posix(), CLASSES[0], "test", "", "") for p in photos)


def awake(body: nn.Module, images_NCHW: torch.Tensor) -> nn.Module:
    """Give a random network the batch statistics of real photos: without them all of them look alike to it."""
    norms = [m for m in body.eval().modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        for part in torch.split(images_NCHW, 16) if norms else ():
            body(part)
    return body.eval()


def rows() -> list[dict[str, Any]]:
    """Read what was measured."""
    return [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()] if RESULTS.exists() else []


def table(found: list[dict[str, Any]]) -> str:
    """Write a row a network: the worst difference of a probability by format, and the agreement."""
    lines = [
        "| network | weights | px | photos | torch | onnx | safetensors | same first class |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, source in sorted({(r["network"], r["weights"]) for r in found}):
        own = {r["format"]: r for r in found if (r["network"], r["weights"]) == (name, source)}
        any_row = next(iter(own.values()))
        cells = [_worst(own.get(form)) for form in FORMS]
        agreed = [r["agreement"] for r in own.values() if "agreement" in r]
        least = f"{100 * min(agreed):.1f} %" if agreed else "–"
        lines.append(
            f"| {name} | {source} | {any_row['size_px']} | {any_row.get('n', 0)} | {' | '.join(cells)} | {least} |"
        )
    worst = max((r["worst"] for r in found if "worst" in r), default=0.0)
    held = sum(r.get("agreement") == 1.0 and r["worst"] <= export_parity.TOLERANCE for r in found)
    return "\n".join([*lines, "", f"{held} of {len(found)} hold; the worst difference is {worst:.1e}."])


def _worst(row: dict[str, Any] | None) -> str:
    if row is None:
        return "–"
    return f"{row['worst']:.1e}" if "worst" in row else "failed"


if __name__ == "__main__":
    main()
