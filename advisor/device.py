"""How the arithmetic is done: device, precision, memory layout and threads, from a fixed table, never from a stopwatch.

In: what a person asked for ("auto", "cpu", "cuda:0") and a backbone. Out: a `Compute`, which is part of every feature
key and of the recipe. `apply` puts it into force in this process.
Does NOT cover: finding faults of an installation (`doctor`), or how many workers there are (`workers`).
Source: our own readings, in the comments of the table (DESIGN 4.5: no decision depends on a clock).
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from advisor.errors import InputError
from advisor.records.plan import Compute

if TYPE_CHECKING:
    from advisor.hooks import Backbone

_CPU_PRECISION = "float32"


def cores() -> int:
    """Count the processor cores that this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def choose(device: str = "auto", backbone: Backbone | None = None, workers: int = 1) -> Compute:
    """Choose device, precision, layout and threads for a backbone; `workers` processes share the cores.

    Raises InputError where the device is not "auto", "cpu" or "cuda[:i]", or is not there.
    """
    name = _resolve(device)
    threads = max(1, cores() // max(1, workers))
    if name == "cpu":
        return Compute(device="cpu", precision=_CPU_PRECISION, layout="channels_last", threads=threads)
    return Compute(device=name, precision=_cuda_precision(name), layout="channels_last", threads=threads)


def apply(compute: Compute) -> None:
    """Set threads and ask torch for deterministic arithmetic, in this process. Call before the first operation."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS wants before it promises equal bits
    import torch

    torch.set_num_threads(compute.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def _resolve(device: str) -> str:
    asked = device.strip().lower()
    if asked == "cpu":
        return "cpu"
    if asked != "auto" and not re.fullmatch(r"cuda(:\d+)?", asked):
        raise InputError(f"--device {device}: expected auto, cpu or cuda[:i].")
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "auto":
        return "cuda:0" if count else "cpu"
    index = int(asked.partition(":")[2] or 0)
    if index >= count:
        there = f"this machine has {count} CUDA device(s)" if count else "torch sees no CUDA device here"
        raise InputError(f"--device {device}: {there}.", hint="Use --device cpu, or see `tl-advise doctor`.")
    return f"cuda:{index}"


def _cuda_precision(name: str) -> str:
    import torch

    # Tensor cores multiply bfloat16 since compute capability 8.0 (Ampere); before, autocast only costs casts.
    return "bfloat16" if torch.cuda.get_device_capability(name)[0] >= 8 else "float32"
