"""advisor.runtime.device: a fixed table, never a stopwatch; and freed memory that stays in the process."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.hooks import Backbone, Preprocess, Stage
from advisor.records import Compute
from advisor.runtime import device


def test_threads_times_workers_stay_within_the_cores() -> None:
    """Workers share the cores, and each has at least one thread."""
    cores = device.cores()
    assert device.choose("cpu").threads == cores
    for workers in range(1, 2 * cores + 2):
        threads = device.choose("cpu", workers=workers).threads
        assert threads >= 1
        assert threads * workers <= max(cores, workers)


def test_the_choice_repeats() -> None:
    """Asked twice, it answers the same: no clock is involved."""
    assert device.choose("auto") == device.choose("auto")


@pytest.mark.parametrize("asked", ["gpu", "cuda:", "cuda:x", "cpu:0", ""])
def test_an_unknown_device_is_refused(asked: str) -> None:
    """What is no device is one line with the forms that are."""
    with pytest.raises(InputError, match=r"expected auto, cpu or cuda\[:i\]"):
        device.choose(asked)


def test_a_device_that_is_not_there_is_told() -> None:
    """A GPU that the machine has not is refused with what to do instead."""
    with pytest.raises(InputError, match=r"cuda:99.*--device cpu"):
        device.choose("cuda:99")


def named(name: str) -> Backbone:
    return Backbone(
        name=name, dim=1, stages=(Stage(name="all", prefixes=("x",)),), preprocess=Preprocess(size=32, resize=32)
    )


def test_half_precision_only_where_it_was_measured_to_help() -> None:
    """bfloat16 follows the processor and the table; depthwise networks and third-party ones stay in float32."""
    half = "bfloat16" if device.gains_from_bfloat16(Path("/proc/cpuinfo").read_text(encoding="utf-8")) else "float32"
    for name in ("resnet18", "resnet50.v2", "squeezenet1_1", "pocket"):
        assert device.choose("cpu", named(name)).precision == half
    for name in ("mobilenet_v2", "efficientnet_b0", "shufflenet_v2_x1_0", "a_strangers_resnet"):
        assert device.choose("cpu", named(name)).precision == "float32"
    assert device.choose("cpu").precision == "float32"


@pytest.mark.parametrize(
    ("vendor", "flags", "multiplies", "gains"),
    [
        ("AuthenticAMD", "avx2 avx512_bf16", True, True),
        ("AuthenticAMD", "avx2", False, False),
        ("GenuineIntel", "avx512_bf16", True, False),
        ("GenuineIntel", "avx512_bf16 amx_bf16 amx_tile", True, True),
        ("", "", False, False),
    ],
)
def test_half_precision_is_for_processors_that_gain_from_it(
    vendor: str, flags: str, multiplies: bool, gains: bool
) -> None:
    """Intel's processors without AMX have bfloat16 products too, and are slower with them."""
    cpuinfo = f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: fpu {flags}\n" if vendor else "Hardware\t: BCM2835\n"
    assert device.multiplies_bfloat16(cpuinfo) == multiplies
    assert device.gains_from_bfloat16(cpuinfo) == gains


def test_a_recipe_keeps_its_arithmetic_on_the_same_kind_of_device() -> None:
    """Threads are those of the call; another kind of device computes in its own way."""
    recorded = Compute(device="cpu", threads=1)  # as recipes have it that name neither batches nor folding
    chosen = replace(device.choose("cpu"), threads=3)
    assert chosen.fold_batch_norm
    assert device.as_recorded(recorded, chosen) == replace(recorded, threads=3)
    assert device.as_recorded(replace(recorded, device="cuda:0"), chosen) == chosen


def test_choosing_the_processor_needs_no_torch() -> None:
    """`--device cpu` is answered without importing torch."""
    code = "import sys; from advisor.runtime import device; device.choose('cpu'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_apply_sets_threads_and_determinism() -> None:
    """In a process of its own, as a worker does it: threads as chosen, deterministic arithmetic asked for."""
    code = (
        "from advisor.runtime import device; from advisor.records import Compute; import torch;"
        "device.apply(Compute(threads=1));"
        "assert torch.get_num_threads() == 1 and torch.are_deterministic_algorithms_enabled()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ})


def test_each_worker_sees_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several GPUs are shared out in turn; one GPU, a named one or a CPU change nothing."""
    monkeypatch.setattr(device, "visible_gpus", lambda: ("2", "5"))
    assert device.workers("auto") == 2
    assert device.workers("cuda:1") == 1
    assert device.places("auto", 3) == [{"CUDA_VISIBLE_DEVICES": g} for g in ("2", "5", "2")]
    assert device.places("cpu", 2) == [{}, {}]
    monkeypatch.setattr(device, "visible_gpus", lambda: ())
    assert device.workers("auto") == 1
    assert device.places("auto", 2) == [{}, {}]


BLOCKS, BLOCK_BYTES, PAGE_BYTES = 20, 64 << 20, 4096
PROGRAM = f"""
import resource, sys
import numpy as np
from advisor.runtime import device
if sys.argv[1] == "kept":
    assert device.keep_freed_memory() and device.keep_freed_memory()
np.ones({BLOCK_BYTES}, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({BLOCKS}):
    np.ones({BLOCK_BYTES}, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    """Count the page faults of allocating, filling and freeing the blocks."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not device.has_glibc(), reason="the C library is not glibc")
def test_a_block_that_was_freed_is_used_again() -> None:
    """Blocks of freed memory are not asked of the kernel again."""
    assert faults("kept") < BLOCK_BYTES / PAGE_BYTES, "not even one block's pages are asked of the kernel again"


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the C library is another one, the call does nothing and returns False."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not device.keep_freed_memory()


@pytest.mark.parametrize("threads", [0, device.MOST_THREADS + 1])
def test_a_number_of_threads_that_no_machine_has_is_refused(threads: int) -> None:
    """A recipe or a run that was edited cannot take all processes of a machine."""
    with pytest.raises(InputError, match=f"{threads} threads: expected 1 to 1,024"):
        device.apply(Compute(threads=threads))
