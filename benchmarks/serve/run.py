"""`tl-advise serve` measured: equality with predict, throughput and latency, memory, bad requests.

    python benchmarks/serve/run.py --data DIR --weights-dir DIR --work DIR --part parity|bare|load|memory|bad
    [--engine onnxruntime]

MobileNetV2 with its ImageNet weights at 224 px and a linear head with random weights over three classes, real photos from
DIR (JPEG). The server is the command itself, with one thread for the model; server and clients share the cores that the
process may use. "bare" is a loop over the same files in one process, without HTTP: decode and resize as predict does, then
the exported ONNX graph in onnxruntime with one thread, in batches of 32. Each part adds to benchmarks/results/serve.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bad_requests
import clients
import numpy as np

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "serve.json"
BACKBONE, SIZE_PX, CLASSES = "mobilenet_v2", 224, ("ant", "bee", "fly")
BATCH, SECONDS = 32, 30.0


def make_run(folder: Path, weights_dir: str) -> Path:
    """Write a run directory with the two files that `serve` reads."""
    import torch

    from advisor import registry
    from advisor.heads import linear_head
    from advisor.models import backbone as backbones
    from advisor.models import predictor, pretrained_weights
    from advisor.models.classifier import Classifier

    if (folder / "model.json").exists():
        return folder
    chosen = registry.load().backbone(BACKBONE)
    located = pretrained_weights.locate(chosen, weights_dir=weights_dir, offline=True)
    tensors, _, _ = pretrained_weights.read(chosen, located)
    torch.manual_seed(0)
    head = linear_head.LinearHead(torch.randn(len(CLASSES), chosen.dim) * 0.05, torch.zeros(len(CLASSES)))
    folder.mkdir(parents=True, exist_ok=True)
    predictor.save(
        Classifier(chosen, backbones.build(chosen, tensors), head),
        folder / "model.safetensors",
        folder / "model.json",
        classes=CLASSES,
        preprocess=chosen.preprocess,
        size_px=SIZE_PX,
        fit="crop",
        temperature=1.0,
        extra={"status": "final", "strategy": "ridge", "plugin": {"distribution": "tl-advise", "version": "0.1.0"}},
    )
    return folder


@contextmanager
def server(run: Path, engine: str) -> Iterator[tuple[int, int]]:
    """Start the server; yield its port and process id."""
    command = [sys.executable, "-m", "advisor", "serve", str(run), "--port", "0", "--threads", "1", "--quiet"]
    command += ["--engine", engine]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    match = re.search(r":(\d+) ", process.stdout.readline())
    assert match is not None
    port = int(match[1])
    while True:
        try:
            asyncio.run(clients.get(port, "/health"))
            break
        except OSError:
            time.sleep(0.2)
    try:
        yield port, process.pid
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with code {process.returncode}")
    finally:
        process.terminate()
        process.wait(20)


def parity(run: Path, files: list[Path], engine: str) -> dict[str, Any]:
    """Compare the server's probabilities with those of `predict` on 500 images, 40 requests at a time."""
    from advisor import registry
    from advisor.models import predictor

    chosen = (files * (500 // len(files) + 1))[:500]
    expected = predictor.load(run, registry.load()).predict(list(files)).probabilities
    reference = dict(zip(files, expected, strict=True))
    differences: list[float] = []

    async def ask(port: int) -> None:
        gate = asyncio.Semaphore(40)

        async def one(path: Path) -> None:
            async with gate:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                _, body = await clients.request(reader, writer, path.read_bytes(), path="/predict?top=3")
                writer.close()
            best = {row["class"]: row["probability"] for row in json.loads(body)["predictions"][0]["top"]}
            rows = [best[name] for name in CLASSES]
            differences.append(float(np.abs(np.array(rows) - reference[path]).max()))

        await asyncio.gather(*(one(path) for path in chosen))

    with server(run, engine) as (port, _):
        asyncio.run(ask(port))
    return {"images": len(differences), "largest_difference": max(differences)}


def images_per_s(work: Callable[[int], Any], batches: int) -> float:
    """Return the median speed of three rounds over all batches, after one batch to warm up."""
    work(0)
    rates = []
    for _ in range(3):
        begun = time.monotonic()
        for index in range(batches):
            work(index)
        rates.append(batches * BATCH / (time.monotonic() - begun))
    return round(statistics.median(rates), 1)


def bare(run: Path, files: list[Path], engine: str) -> dict[str, Any]:
    """Time loops without HTTP: onnxruntime and torch, with decoding and without."""
    import onnxruntime
    import torch

    from advisor import registry
    from advisor.data import image_inputs, pixels
    from advisor.exporting.formats import onnx_graph
    from advisor.models import predictor

    torch.set_num_threads(1)
    model = predictor.load(run, registry.load())
    graph = run.parent / "model.onnx"
    if not graph.exists():
        graph.write_bytes(onnx_graph.serialized(model, dict(model.description)))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    batches = [files[i : i + BATCH] for i in range(0, len(files) - BATCH + 1, BATCH)][:8]
    squares = [image_inputs.squares(batch, model.rule) for batch in batches]

    def cropped(decoded: Any) -> Any:
        return np.ascontiguousarray(pixels.centre(decoded, SIZE_PX))

    loops = {
        "decoding": lambda i: image_inputs.squares(batches[i], model.rule),
        "onnxruntime": lambda i: session.run(None, {name: cropped(squares[i])}),
        "torch": lambda i: model.probabilities(squares[i], sizes=[BATCH]),
        "decoding + onnxruntime": lambda i: session.run(
            None, {name: cropped(image_inputs.squares(batches[i], model.rule))}
        ),
        "decoding + torch": lambda i: model.probabilities(image_inputs.squares(batches[i], model.rule), sizes=[BATCH]),
    }
    return {label: images_per_s(work, len(batches)) for label, work in loops.items()}


def load(run: Path, files: list[Path], engine: str) -> dict[str, Any]:
    """Send images from 1, 8 and 32 clients for half a minute each, one image per request."""
    images = [path.read_bytes() for path in files]
    rows: dict[str, Any] = {}
    with server(run, engine) as (port, _):
        asyncio.run(clients.load(port, images, clients=8, seconds=5.0))  # warm
        for count in (1, 8, 32):
            begun = time.monotonic()
            latencies = sorted(asyncio.run(clients.load(port, images, clients=count, seconds=SECONDS)))
            seconds = time.monotonic() - begun
            rows[str(count)] = {
                "images_per_s": round(len(latencies) / seconds, 1),
                "median_ms": round(1000 * statistics.median(latencies), 1),
                "p95_ms": round(1000 * latencies[int(0.95 * len(latencies))], 1),
            }
    return rows


def memory(run: Path, files: list[Path], engine: str) -> dict[str, Any]:
    """Measure the server's resident memory after 500 and after 10,000 requests of 8 clients, with small images."""
    images = [path.read_bytes() for path in sorted(files, key=lambda p: p.stat().st_size)[:100]]
    seen = {}
    with server(run, engine) as (port, pid):
        done = 0
        for until in (500, 5_000, 10_000):
            asyncio.run(clients.load(port, images, clients=8, seconds=550.0, most=until - done))
            done = until
            status = Path(f"/proc/{pid}/status").read_text()
            seen[f"{until:,} requests"] = round(int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024, 1)  # type: ignore[index]
    return {"resident_mb": seen}


def bad(run: Path, files: list[Path], engine: str) -> dict[str, Any]:
    """Send 1,000 bad requests, then a good one."""
    image = files[0].read_bytes()
    with server(run, engine) as (port, _):
        counts = asyncio.run(bad_requests.all_of_them(port, image, 1000))

        async def good() -> int:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            return (await clients.request(reader, writer, image))[0]

        after = asyncio.run(good())
        health = asyncio.run(clients.get(port, "/health"))
    return {"kinds": counts, "status_of_a_good_request_after": after, "waiting_after": health["waiting"]}


PARTS = {"parity": parity, "bare": bare, "load": load, "memory": memory, "bad": bad}


def main() -> None:
    """Measure one part and add it to the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights-dir", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--part", choices=sorted(PARTS), required=True)
    parser.add_argument("--engine", choices=["torch", "onnxruntime"], default="torch")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    run = make_run(options.work / "run", options.weights_dir)
    files = sorted(options.data.rglob("*.jpg"))[:500]
    measured = PARTS[options.part](run, files, options.engine)
    name = options.part if options.engine == "torch" else f"{options.part}, {options.engine}"
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    results[name] = measured
    options.out.write_text(json.dumps(results, indent=1) + "\n")
    print(name, json.dumps(measured), flush=True)


if __name__ == "__main__":
    main()
