"""Send one network of every family the whole way: `python benchmarks/networks/families.py --data FOLDER [--only TEXT]`.

Each has random weights in a hand-made safetensors file, given by --weights. A run of frozen and trained trials, the same
run stopped after its first trial and resumed, a rerun that has to be bit-identical, and an export that is compared with
`predict` on the run's images; then rerun and export of a second run, in which all of the network is trained. Two lines per
network in benchmarks/results/networks-families.jsonl; what has a line is skipped, so that a stopped benchmark is continued.
`--table` prints the lines. Needs `tl-advise[timm]`.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "strategies"))
from rows import Rows

RESULTS = Path(__file__).parents[1] / "results" / "networks-families.jsonl"
# Family, network, input size.
FAMILIES = (
    ("transformer with a class token", "timm/test_vit", 64),
    ("transformer with registers", "timm/test_vit2", 64),
    ("rotary positions", "timm/eva02_tiny_patch14_224", 56),
    ("ConvNeXt", "timm/test_convnext", 64),
    ("EfficientNet, MobileNet", "timm/test_efficientnet", 64),
    ("ResNet", "timm/test_resnet", 64),
    ("RegNet, RepVGG", "timm/test_byobnet", 64),
    ("windows of tokens", "timm/tiny_vit_5m_224", 224),
    ("cannot be cut", "timm/levit_128s", 224),
    ("EfficientNet-Lite", "efficientnet_lite0", 64),
)
CALL = [sys.executable, "-m", "advisor"]


def main() -> None:
    """Run what has no line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a small folder of class folders")
    parser.add_argument("--only", default="", metavar="TEXT", help="only networks whose names hold TEXT")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    rows = Rows(RESULTS)
    if args.table:
        table(rows)
        return
    for family, name, size in FAMILIES:
        for key, steps in (({"network": name}, journey), ({"network": name, "strategy": "full"}, trained)):
            if args.only not in name or rows.has(key) or (steps is trained and frozen_only(rows, name)):
                continue
            with tempfile.TemporaryDirectory() as folder:
                start = time.monotonic()
                numbers = steps(args.data.resolve(), Path(folder), name, size)
            print(name, numbers, flush=True)
            if "error" not in numbers:  # it is run again
                seconds = round(time.monotonic() - start)
                rows.add(key, family=family, size_px=size, **numbers, seconds=seconds)


def frozen_only(rows: Rows, name: str) -> bool:
    """Return True for a network that cannot be cut into stages, so that nothing of it is trained."""
    return any(r["key"] == {"network": name} and r["frozen_only"] for r in rows.rows)


def options_for(folder: Path, name: str, size: int) -> tuple[list[str], list[str]]:
    """Write the network's weights; return the options of its runs, and those of the weights alone."""
    weights = make_weights(name, folder / "mine.safetensors")
    given = ["--weights", f"{name}={weights}"] if weights else []
    return ["--size", str(size), "--backbone", name, "--threads", "1", "--offline", "--quiet", *given], given


def trained(data: Path, folder: Path, name: str, size: int) -> dict[str, Any]:
    """Return what a rerun and an export of a run say in which all of the network is trained."""
    options, weights = options_for(folder, name, size)
    advised = run(folder, "advise", str(data), "--out", "run", "--trials", "1", "--strategy", "full", *options)
    verified = run(folder, "rerun", "run", "--verify", "--offline", *weights)
    export = run(folder, "export", "run", "--json", "--quiet")
    if advised.returncode or export.returncode:
        return {"error": (advised.stderr + export.stderr).strip()[-300:]}
    return {
        "best": outcome(folder / "run" / "recipe.yaml")[0],
        "rerun_identical": verified.returncode == 0,
        "export_worst": json.loads(export.stdout)["parity"]["worst"],
    }


def journey(data: Path, folder: Path, name: str, size: int) -> dict[str, Any]:
    """Return what each step said."""
    options, weights = options_for(folder, name, size)
    options += ["--trials", "3", "--strategy", "ridge", "--strategy", "full"]
    whole = run(folder, "advise", str(data), "--out", "whole", *options)
    if whole.returncode:
        return {"error": whole.stderr.strip()[-300:]}
    process = subprocess.Popen([*CALL, "advise", str(data), "--out", "stopped", *options], cwd=folder)
    wait_for(folder / "stopped" / "log.jsonl", "trial", process)
    process.send_signal(signal.SIGTERM)
    process.wait()
    run(folder, "resume", "stopped", "--quiet")
    first, second = (outcome(folder / n / "recipe.yaml") for n in ("whole", "stopped"))
    verified = run(folder, "rerun", "whole", "--verify", "--offline", *weights)
    export = run(folder, "export", "whole", "--json", "--quiet")
    if export.returncode:
        return {"error": export.stderr.strip()[-300:]}
    result = json.loads((folder / "whole" / "result.json").read_text())
    notes = [line for line in result["warnings"] if "nothing is trained" in line]
    return {
        "best": result["best"]["strategy"],
        "trained": result["trials"]["complete"],
        "frozen_only": bool(notes) or "nothing is trained" in whole.stderr,
        "resumed_equals_whole": first == second,
        "rerun_identical": verified.returncode == 0,
        "export_worst": json.loads(export.stdout)["parity"]["worst"],
    }


def make_weights(name: str, file: Path) -> Path | None:
    """Write random weights as a published file would hold them; None for a network that brings its own."""
    from safetensors.torch import save_file

    from advisor import registry
    from advisor.models import backbone as engine
    from advisor.models import pretrained_weights

    backbone = registry.load().backbone(name)
    if pretrained_weights.locate(backbone, offline=True).state == "built_in":
        return None
    save_file({n: t.contiguous() for n, t in engine.build(backbone, seed=1).state_dict().items()}, file)
    return file


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder."""
    return subprocess.run([*CALL, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def wait_for(log: Path, word: str, process: subprocess.Popen[bytes]) -> None:
    """Return when a log mentions a word, or its process has ended."""
    while process.poll() is None and not (log.exists() and f'"{word}' in log.read_text()):
        time.sleep(0.2)


def outcome(recipe: Path) -> tuple[str, str]:
    """Return what has to agree: strategy and hash of the weights."""
    fields = yaml.safe_load(recipe.read_text())
    return fields["strategy"]["name"], fields["outcome"]["weights_sha256"]


def table(rows: Rows) -> None:
    """Print the lines as a table, a network in each."""
    print(
        "| family | network | px | resumed = whole | head: rerun identical | export | trained: rerun identical | export |"
    )
    print("|---|---|---|---|---|---|---|---|")
    said = {True: "yes", False: "no"}
    by_key = {tuple(sorted(r["key"].items())): r for r in rows.rows}
    for family, name, size in FAMILIES:
        head = by_key.get((("network", name),), {})
        full = by_key.get((("network", name), ("strategy", "full")), {})
        cells = [family, name.removeprefix("timm/"), size, said.get(head.get("resumed_equals_whole"), "-")]
        for row in (head, full):
            worst = row.get("export_worst")
            cells += [said.get(row.get("rerun_identical"), "-"), "-" if worst is None else f"{worst:.0e}"]
        print("| " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    main()
