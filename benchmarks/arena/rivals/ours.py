"""tl-advise itself: the whole command on all training images, without a test of its own (the arena has one)."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protocol import elapsed_s, finish, images, moments_of, run, write_answers

POLL_S = 0.1


def train(args):  # type: ignore[no-untyped-def]
    """Run the main job from an empty cache, with the shared MobileNetV2 and the built-in network in reach and nothing else."""
    with tempfile.TemporaryDirectory() as cache, tempfile.TemporaryDirectory() as weights:
        (Path(weights) / Path(args.weights).name).symlink_to(Path(args.weights).resolve())
        call = [sys.executable, "-m", "advisor", args.train, "--budget", f"{args.seconds:.0f}s", "--test-split", "none"]
        call += ["--offline", "--threads", str(args.threads), "--seed", str(args.seed), "--out", args.out, "--quiet"]
        call += ["--weights-dir", weights]
        surroundings = {**os.environ, "TL_ADVISE_CACHE": cache, "TL_ADVISE_PLUGINS": "torchvision,strategies,pocket"}
        surroundings.pop("TORCH_HOME", None)
        with _models_copied(Path(args.out)):
            subprocess.run(call, check=True, env=surroundings, stdout=subprocess.DEVNULL)
    result = json.loads((Path(args.out) / "result.json").read_text(encoding="utf-8"))
    finish(result["validation"]["accuracy"], "tl-advise", "torch", history=_history(Path(args.out)))


@contextmanager
def _models_copied(run: Path) -> Iterator[None]:
    """Copy every model that lies in the run directory while the search goes on, each into a folder named by its seconds."""
    ended = threading.Event()

    def copy() -> None:
        before = 0
        while not ended.wait(POLL_S):
            now = _written(run)
            if now in (0, before):
                continue
            folder = moments_of(run) / f"{elapsed_s():.1f}"
            folder.mkdir(parents=True)
            for name in ("model.safetensors", "model.json"):
                shutil.copyfile(run / name, folder / name)
            if _written(run) == now:
                before = now
            else:  # replaced meanwhile
                shutil.rmtree(folder)

    thread = threading.Thread(target=copy)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _written(run: Path) -> int:
    """Return when the recipe was written, which comes after the model that it vouches for; 0 where there is none."""
    recipe = run / "recipe.yaml"
    return recipe.stat().st_mtime_ns if recipe.is_file() else 0


def _history(run: Path) -> list[tuple[float, float]]:
    """Return when each trial ended that beat the log-loss of those before, and its accuracy out of fold."""
    with open(run / "trials.csv", newline="", encoding="utf-8") as stream:
        rows = {int(row["trial"]): row for row in csv.DictReader(stream) if row["log_loss"]}
    events = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    history, best = [], float("inf")
    for event in events:
        row = rows.get(event["number"]) if event["event"] == "trial" else None
        if row and float(row["log_loss"]) < best:
            best = float(row["log_loss"])
            history.append((event["at_s"], float(row["accuracy"])))
    return history


def predict(args):  # type: ignore[no-untyped-def]
    """Classify with the run's model."""
    call = [sys.executable, "-m", "advisor", "predict", args.out, args.test, "--format", "csv", "--quiet"]
    done = subprocess.run(call, check=True, capture_output=True, text=True)
    labels = {Path(row["path"]).name: row["class"] for row in csv.DictReader(done.stdout.splitlines())}
    write_answers(args.answers, ((p, labels.get(p.name, "")) for p in images(args.test)))


def moments(args):  # type: ignore[no-untyped-def]
    """Classify with every model that was copied during the search."""
    import advisor

    paths = images(args.test)
    for folder in sorted(moments_of(Path(args.out)).iterdir(), key=lambda f: float(f.name)):
        labels = advisor.load(folder).predict(paths).labels
        write_answers(f"{args.answers}/{folder.name}.csv", zip(paths, labels, strict=True))


if __name__ == "__main__":
    run(train, predict, moments)
