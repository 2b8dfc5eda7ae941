"""What a plugin prints or sets for the whole process has no effect outside of its calls."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest
import torch

from advisor.runtime.process import third_party


def meddle(folder: Path) -> None:
    """Change what belongs to the whole process, and raise."""
    os.chdir(folder)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(not torch.is_grad_enabled())
    torch.set_num_threads(torch.get_num_threads() + 1)
    raise KeyError


def test_settings_are_set_back_though_the_code_raises(tmp_path: Path) -> None:
    """Working directory, torch's dtype, gradients and threads."""
    before = (Path.cwd(), torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads())
    with pytest.raises(KeyError), third_party.contained():
        meddle(tmp_path)
    assert (Path.cwd(), torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()) == before


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
