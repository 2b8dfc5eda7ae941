"""How the arithmetic is done: device, precision, memory layout and threads, from a fixed table, never from a measurement.

In: the device that the user named ("auto", "cpu", "cuda:0") and a backbone. Out: a `Compute`, which is part of every
feature key and of the recipe. `apply` sets it up in this process.
Does NOT cover: finding faults of an installation (`workflows.doctor`).
Source: our own measurements, in the comments of the table (docs/design.md 4.5: no decision depends on a clock).
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.errors import InputError
from advisor.records.plan import Compute

if TYPE_CHECKING:
    from advisor.hooks import Backbone

# Which networks run faster in bfloat16 on a processor that gains from it (AMD Zen 5, avx512_bf16). Images per second of
# training and of inference, float32 -> bfloat16, channels_last, one thread, 128 px (Swin 224, pocket 96), 16 images a
# step, best of 3 and more, torch 2.15, freed memory kept (`keep_freed_memory`):
#   pocket              161 -> 258   596 -> 1,011    resnet18             46 -> 68    148 -> 248
#   squeezenet1_1       151 -> 330   550 -> 1,058    resnet50             18 -> 30     62 -> 78
#   densenet121          23 -> 37     79 -> 129      regnet_y_400mf       86 -> 119   340 -> 480
#   convnext_tiny         8 -> 19     29 -> 93       swin_t                3 -> 8       8 -> 24
# and which do not, since the backward pass of depthwise convolutions is slower there:
#   mobilenet_v2        107 -> 48    314 -> 385      mobilenet_v3_small  282 -> 115   1,257 -> 1,406
#   efficientnet_b0      55 -> 30    278 -> 328      shufflenet_v2_x1_0  194 -> 124   668 -> 864
# vgg16, without keeping freed memory: 3 -> 4, 18 -> 23.
# A probe on SqueezeNet's bfloat16 features scores as on float32 ones (PACS sketches, 1,500 test images: 0.773 both).
# Networks that were not measured, those of other plugins among them, stay in float32.
# Intel processors without AMX (or whose system hides it) have avx512_bf16 as well and lose by it (family 6, model 207, torch
# 2.14, 128 px, one thread, training and inference): squeezenet1_1 80 -> 76, 269 -> 235; resnet18 25 -> 18, 81 -> 58;
# densenet121 11 -> 9, 43 -> 30; convnext_tiny 8 -> 5, 30 -> 21; regnet_y_400mf 39 -> 33, 161 -> 127.
_BFLOAT16_FAMILIES = ("convnext", "densenet", "pocket", "regnet", "resnet", "squeezenet", "swin", "vgg")
# channels_last against contiguous, the same measurements in float32: mobilenet_v2 49 -> 73, 242 -> 339; resnet18 31 -> 34,
# 105 -> 127; squeezenet1_1 113 -> 146, 223 -> 594. It was never slower.
_LAYOUT = "channels_last"
# Images of a pass outside of training on a CPU: activations of 32 stay in its caches (docs/speed.md).
_CPU_BATCH, _GPU_BATCH = 32, 64
# glibc hands every block above 32 MiB, and what lies free at the top of its heap, back to the kernel. A network's
# activations are such blocks: each operation's result is mapped, filled with zeros page by page and unmapped again, and
# on several cores every unmapping interrupts the others. One core took 370,000 page faults per second on that; with freed
# memory kept, MobileNetV2 went from 42 to 136 images per second in extraction at 224 px, from 66 to 97 in training at
# 128 px (docs/speed.md, `benchmarks/speed/run.py allocator --threads 1`). Source of the names: mallopt(3), malloc.h.
_M_TRIM_THRESHOLD, _NEVER = -1, 2**31 - 1
_M_MMAP_THRESHOLD, _LARGEST_ACTIVATION_BYTES = -3, 1 << 30  # blocks of a gibibyte and more are data, not activations
MOST_THREADS = 1024


def cores() -> int:
    """Return the number of processor cores that this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def choose(device: str = "auto", backbone: Backbone | None = None, workers: int = 1) -> Compute:
    """Choose device, precision, layout and threads for a backbone; `workers` processes share the cores.

    Raises InputError where the device is not "auto", "cpu" or "cuda[:i]", or does not exist.
    """
    name = _resolve(device)
    threads = max(1, cores() // max(1, workers))
    precision = _cpu_precision(backbone) if name == "cpu" else _cuda_precision(name)
    on_cpu = name == "cpu"
    return Compute(
        device=name,
        precision=precision,
        layout=_LAYOUT,
        threads=threads,
        inference_batch=_CPU_BATCH if on_cpu else _GPU_BATCH,
        fold_batch_norm=on_cpu,
    )


def as_recorded(recorded: Compute, chosen: Compute) -> Compute:
    """Return the arithmetic of a recipe, where `chosen` is on the same kind of device, else `chosen`.

    Threads are those of `chosen`. bfloat16 on a processor without its instructions would take many times as long.
    """
    kinds = {compute.device.partition(":")[0] for compute in (recorded, chosen)}
    if len(kinds) > 1 or (
        kinds == {"cpu"} and recorded.precision == "bfloat16" and not multiplies_bfloat16(_cpuinfo())
    ):
        return chosen
    return replace(recorded, device=chosen.device, threads=chosen.threads)


def likely(device: str) -> str:
    """Return what "auto" will probably be, without importing torch: "cuda" where the driver shows a device, else "cpu"."""
    if device != "auto":
        return device
    return "cuda" if os.path.exists("/dev/nvidia0") else "cpu"


def visible_gpus() -> tuple[str, ...]:
    """List the CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES names them, without importing torch."""
    numbers = sorted(path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*"))
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None or not numbers:
        return tuple(numbers and [str(number) for number in range(len(numbers))])
    return tuple(name.strip() for name in chosen.split(",") if name.strip())


def workers(device: str) -> int:
    """Return the default number of workers: one per visible GPU, one on a CPU or on a GPU that was named."""
    return max(1, len(visible_gpus())) if device == "auto" else 1


def places(device: str, workers: int) -> list[dict[str, str]]:
    """Return each worker's environment variables: on several GPUs each sees one of them alone, in turn; else none are set.

    So the same network's features have the same key in the cache, whichever GPU computes them.
    """
    gpus = visible_gpus() if device == "auto" and workers > 1 else ()
    if len(gpus) < 2:
        return [{} for _ in range(workers)]
    return [{"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} for number in range(workers)]


def apply(compute: Compute) -> None:
    """Set threads, deterministic arithmetic and the keeping of freed memory in this process, before any operation.

    Raises InputError for more threads than any machine has cores: as many would take all processes of the machine.
    """
    if not 1 <= compute.threads <= MOST_THREADS:
        raise InputError(
            f"{compute.threads} threads: expected 1 to {MOST_THREADS:,}.", hint=f"This machine has {cores()} cores."
        )
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with this
    keep_freed_memory()
    import torch

    torch.set_num_threads(compute.threads)
    # What use_deterministic_algorithms(True, warn_only=True) does, which imports torch's compiler first: 1.6 s.
    torch.set_deterministic_debug_mode("warn")
    # It would also write over every new tensor's memory before use: up to a quarter of a small network's step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def has_glibc() -> bool:
    """Return True if the C library is glibc, the one whose allocator gives memory back."""
    return sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")


def keep_freed_memory() -> bool:
    """Retain the memory that this process frees, up to its peak; False where the C library is not glibc.

    May be called at any time, and more than once. Memory of a GPU is torch's to keep.
    """
    if not has_glibc():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_ACTIVATION_BYTES)) and bool(mallopt(_M_TRIM_THRESHOLD, _NEVER))


def check_name(device: str) -> None:
    """Check that this can be the name of a device, without importing torch. Raises InputError."""
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", device.strip().lower()):
        raise InputError(f"--device {device}: expected auto, cpu or cuda[:i].")


def check_together(device: str, devices: int) -> None:
    """Check that this machine has the devices for one training run. On a CPU they are processes that share its cores.

    Raises InputError where it has fewer.
    """
    if devices < 2 or not (first := _resolve(device)).startswith("cuda"):
        return
    if ":" in device:
        raise InputError(
            f"--device {device} names one GPU, --devices {devices} takes the first {devices}.",
            hint="Use --device cuda; CUDA_VISIBLE_DEVICES selects the GPUs.",
        )
    import torch

    count = torch.cuda.device_count()
    if count < devices:
        raise InputError(
            f"--devices {devices}: this machine has {count} CUDA device(s) ({first} is the first).",
            hint=f"Use --devices {count}, or --device cpu.",
        )


def _resolve(device: str) -> str:
    check_name(device)
    requested = device.strip().lower()
    if requested == "cpu":
        return "cpu"
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if requested == "auto":
        return "cuda:0" if count else "cpu"
    index = int(requested.partition(":")[2] or 0)
    if index >= count:
        reason = f"this machine has {count} CUDA device(s)" if count else "torch sees no CUDA device here"
        raise InputError(f"--device {device}: {reason}.", hint="Use --device cpu, or see `tl-advise doctor`.")
    return f"cuda:{index}"


def _cpu_precision(backbone: Backbone | None) -> str:
    family = backbone is not None and backbone.name.startswith(_BFLOAT16_FAMILIES)
    return "bfloat16" if family and gains_from_bfloat16(_cpuinfo()) else "float32"


def multiplies_bfloat16(cpuinfo: str) -> bool:
    """Return True if a processor has instructions for bfloat16 products; `cpuinfo` is the text of /proc/cpuinfo."""
    flags = _field(cpuinfo, "flags").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def gains_from_bfloat16(cpuinfo: str) -> bool:
    """Return True if these instructions are faster than float32 ones: AMX's are, those of AVX-512 on AMD's processors."""
    amx = "amx_bf16" in _field(cpuinfo, "flags").split()
    return amx or (multiplies_bfloat16(cpuinfo) and _field(cpuinfo, "vendor_id") == "AuthenticAMD")


@functools.cache
def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # not Linux: float32 is always right


def _field(cpuinfo: str, name: str) -> str:
    """Return the value of a field for the first processor, "" where the system does not state it."""
    line = re.search(rf"^{name}[ \t]*:[ \t]*(.*)$", cpuinfo, re.MULTILINE)
    return line.group(1) if line else ""


def _cuda_precision(name: str) -> str:
    import torch

    # Tensor cores multiply bfloat16 since compute capability 8.0 (Ampere); before, autocast only costs casts.
    return "bfloat16" if torch.cuda.get_device_capability(name)[0] >= 8 else "float32"
