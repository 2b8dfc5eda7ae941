"""What a plugin prints or sets for the whole process has no effect outside of its calls."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from advisor.runtime.process import third_party


def meddle(folder: Path) -> None:
    """Change what belongs to the whole process, and raise."""
    os.chdir(folder)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(not torch.is_grad_enabled())
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.set_default_device("meta")
    torch.set_float32_matmul_precision("medium")
    torch.use_deterministic_algorithms(True)
    torch.autograd.set_detect_anomaly(True, check_nan=False)
    np.seterr(all="raise")
    raise KeyError


def settings() -> tuple[object, ...]:
    """Return all that `meddle` changes."""
    modes = (torch.are_deterministic_algorithms_enabled(), torch.is_anomaly_enabled(), np.geterr())
    kinds = (torch.get_default_dtype(), torch.get_default_device(), torch.get_float32_matmul_precision())
    return (Path.cwd(), torch.is_grad_enabled(), torch.get_num_threads(), *kinds, *modes)


def test_settings_are_set_back_though_the_code_raises(tmp_path: Path) -> None:
    """Working directory, numpy's answer to overflow, torch's dtype, device, gradients, precision, modes and threads."""
    before = settings()
    with pytest.raises(KeyError), third_party.contained():
        meddle(tmp_path)
    assert settings() == before


def test_a_device_that_a_caller_chose_for_a_block_stays_its_own() -> None:
    """`with torch.device(...)` around a plugin's call ends with its block."""
    with torch.device("meta"):
        with third_party.contained():
            torch.set_default_device("meta")
        assert torch.zeros(1).device.type == "meta"
    assert torch.zeros(1).device.type == "cpu"


def test_precision_that_was_set_for_each_backend_stays() -> None:
    """torch has no one word for it then, and refuses to answer."""
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        with third_party.contained():
            pass
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    finally:
        torch.backends.cuda.matmul.fp32_precision = before
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("second_ends_first", [True, False])
def test_standard_output_comes_back_though_calls_of_two_threads_overlap(
    second_ends_first: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The call that began second may end first, or last."""
    before, entered, leave = sys.stdout, threading.Event(), threading.Event()

    def second() -> None:
        with third_party.contained():
            print("second")
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=second)
    with third_party.contained():
        print("first")
        thread.start()
        entered.wait(10)
        if second_ends_first:
            leave.set()
            thread.join()
    leave.set()
    thread.join()
    assert sys.stdout is before
    assert capsys.readouterr() == ("", "first\nsecond\n")
