"""What a prediction costs: one image, 70 and 2,000, from the command, from Python and from the exported graphs.

    python benchmarks/predict/run.py --weights-dir DIR [--threads 1] [--to benchmarks/results/predict.json] [--only PART]

MobileNetV2 with its ImageNet weights at 224 px and a linear head with random weights, one run directory, photos with
random contents of 640 x 480 pixels. The bare network is timed in the same process, turn by turn with `predict`, on the
same pixels: what `predict` adds is decoding, resizing, batching and the softmax. Times are medians of wall-clock time. With
`--only` one part is measured and the others of the file stay.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BACKBONE, SIZE_PX, CLASSES = "mobilenet_v2", 224, ("ant", "bee", "fly")
PARTS = ("python", "command", "torch", "onnx", "memory")
PHOTOS = 70  # different files; larger numbers of images repeat them


def photos(folder: Path) -> list[Path]:
    """Write JPEGs with smooth random contents."""
    from PIL import Image

    folder.mkdir()
    draw = np.random.default_rng(0)
    for number in range(PHOTOS):
        small = draw.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(small).resize((640, 480), Image.Resampling.BICUBIC).save(folder / f"{number:03d}.jpg")
    return sorted(folder.iterdir())


def write_run(folder: Path, weights_dir: str | None) -> None:
    """Write a run directory with the two files that `predict` reads."""
    import torch

    from advisor import registry
    from advisor.heads import linear_head
    from advisor.models import backbone as backbones
    from advisor.models import predictor, pretrained_weights
    from advisor.models.classifier import Classifier

    chosen = registry.load().backbone(BACKBONE)
    located = pretrained_weights.locate(chosen, weights_dir=weights_dir, offline=True)
    tensors, _, _ = pretrained_weights.read(chosen, located)
    body = backbones.build(chosen, tensors)
    head = linear_head.LinearHead(torch.randn(len(CLASSES), chosen.dim) * 0.05, torch.zeros(len(CLASSES)))
    folder.mkdir()
    predictor.save(
        Classifier(chosen, body, head),
        folder / "model.safetensors",
        folder / "model.json",
        classes=CLASSES,
        preprocess=chosen.preprocess,
        size_px=SIZE_PX,
        fit="crop",
        temperature=1.0,
    )


def seconds(call: Callable[[], object]) -> float:
    """Time one call."""
    before = time.perf_counter()
    call()
    return time.perf_counter() - before


def resident_mb() -> float:
    """Return the memory that this process holds now, in MB."""
    with open("/proc/self/statm", encoding="ascii") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def from_python(run: Path, files: list[Path], calls: int, many: int) -> dict[str, Any]:
    """Time `predict` of one image against the bare network, turn by turn; 70 and 2,000 images; memory after 10,000."""
    import torch

    import advisor
    from advisor.data import pixels
    from advisor.models import normalise

    load_s = seconds(lambda: advisor.load(run))
    model = advisor.load(run)
    square = pixels.centre(pixels.decode(files[0], model.rule)[None], SIZE_PX)
    x_NCHW = normalise.normalise(torch.from_numpy(square.copy()), model.preprocess)
    picture = pixels.decode(files[0], model.rule)

    def bare() -> None:
        with torch.inference_mode():
            model.classifier(x_NCHW)

    first_s = seconds(lambda: model.predict([files[0]]))
    turns: list[tuple[float, float, float]] = []
    for _ in range(calls):
        turns.append(
            (seconds(bare), seconds(lambda: model.predict([files[0]])), seconds(lambda: model.predict([picture])))
        )
    bare_s, file_s, array_s = (statistics.median(column) for column in zip(*turns, strict=True))
    repeated = (files * (many // len(files) + 1))[:many]
    return {
        "load_s": load_s,
        "first_s": first_s,
        "bare_s": bare_s,
        "single_file_s": file_s,
        "single_array_s": array_s,
        "ratio_file": file_s / bare_s,
        "ratio_array": array_s / bare_s,
        "calls": calls,
        "seventy_s": statistics.median(seconds(lambda: model.predict(files)) for _ in range(3)),
        "many": many,
        "many_s": seconds(lambda: model.predict(repeated)),
    }


def memory(run: Path, files: list[Path], images: int, minutes: float) -> dict[str, float]:
    """Predict many images, some one by one and the rest in lists of odd lengths; return the memory before and after.

    Ends after `minutes` with the number that was reached.
    """
    import advisor

    model = advisor.load(run)
    for length in (1, 8, 64):
        model.predict((files * 2)[:length])
    before, done, length, begun = resident_mb(), 0, 1, time.monotonic()
    while done < images and time.monotonic() - begun < 60 * minutes:
        model.predict((files * 2)[:length])
        done, length = done + length, length % 97 + 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"images": done, "before_mb": before, "after_mb": resident_mb(), "peak_mb": peak}


def from_command(run: Path, files: list[Path]) -> dict[str, float]:
    """Time whole commands, start-up included."""

    def call(images: list[Path]) -> float:
        command = [
            sys.executable,
            "-m",
            "advisor",
            "predict",
            str(run),
            *map(str, images),
            "--quiet",
            "--format",
            "csv",
        ]
        return seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))

    call(files[:1])
    return {f"{n}_s": statistics.median(call(files[:n]) for _ in range(3)) for n in (1, 70)}


def from_export(run: Path, form: str, files: list[Path], calls: int) -> dict[str, float]:
    """Time an exported graph on one decoded square, turn by turn with nothing else, and on 64."""
    from advisor import registry
    from advisor.data import pixels
    from advisor.exporting import sidecar
    from advisor.exporting.formats import registry as formats
    from advisor.models import predictor

    plugins = registry.load()
    model = predictor.load(run, plugins)
    folder = run.parent / f"export-{form}"
    folder.mkdir()
    chosen = formats.find(form)
    chosen.write(model, folder, run, sidecar.describe(model, form, chosen.FILE))
    classify = chosen.load(folder, plugins)
    squares = pixels.centre(np.stack([pixels.decode(f, model.rule) for f in files[:64]]), SIZE_PX)
    classify(squares[:1])
    classify(squares)
    single = statistics.median(seconds(lambda: classify(squares[:1])) for _ in range(calls))
    batch = statistics.median(seconds(lambda: classify(squares)) for _ in range(5))
    return {"single_s": single, "batch_64_s": batch}


def main() -> None:
    """Measure all of it and print or write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights-dir", help="folder with the weights of MobileNetV2")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--many", type=int, default=2000)
    parser.add_argument("--memory", type=int, default=10_000, help="images of the memory test")
    parser.add_argument("--minutes", type=float, default=8.0, help="of the memory test")
    parser.add_argument("--only", choices=PARTS, help="measure one part")
    parser.add_argument("--to", type=Path, help="a JSON file")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    import torch

    torch.set_num_threads(args.threads)
    rows: dict[str, Any] = json.loads(args.to.read_text()) if args.to and args.to.exists() else {}
    rows |= {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    rows |= {"threads": args.threads, "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        files = photos(Path(folder) / "photos")
        write_run(run, args.weights_dir)
        measures: dict[str, Callable[[], dict[str, Any]]] = {
            "python": lambda: from_python(run, files, args.calls, args.many),
            "command": lambda: from_command(run, files),
            "torch": lambda: from_export(run, "torch", files, args.calls),
            "onnx": lambda: from_export(run, "onnx", files, args.calls),
            "memory": lambda: memory(run, files, args.memory, args.minutes),
        }
        for part in [args.only] if args.only else PARTS:
            rows[part] = {**measures[part](), "load_average": os.getloadavg()[0]}
            print(part, json.dumps(rows[part]), flush=True)
            if args.to:
                args.to.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
