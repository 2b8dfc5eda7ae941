"""What a bad moment must not spoil, and what decoding may take: passing failures, memory over all threads."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from photographs import folder, photo, save
from PIL import Image

from advisor.data import dataset, file_scan, images, pixels
from advisor.data.decoding import decode_limits
from advisor.errors import TransientReadError
from advisor.runtime import cache

RULE = pixels.PixelRule(24, 28)


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (MemoryError(), True),
        (OSError(24, "Too many open files"), True),
        (OSError(5, "Input/output error"), True),
        (TimeoutError(), True),
        (OSError("decoder error -9"), True),
        (OSError("decoder error -2"), False),
        (FileNotFoundError(2, "gone"), False),
        (ValueError("truncated"), False),
    ],
)
def test_passing_causes_are_told_from_bad_files(error: Exception, passing: bool) -> None:
    """Memory, descriptors, I/O errors and time-outs say nothing about the file."""
    assert decode_limits.is_passing(error) is passing


STARVED = """
import resource, sys
import numpy as np
from PIL import Image
Image.init()
from advisor.data import pixels, images
from advisor.errors import TransientReadError
with open(sys.argv[1], "rb") as stream:
    content = stream.read()
images.header(content)
pixels._PAUSES_S = ()
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 40_000_000, used + 40_000_000))
try:
    pixels.decode(content, pixels.PixelRule(24, 28, "nearest"))  # which reads every pixel of a JPEG
except TransientReadError as error:
    print("passing", error)
except ValueError as error:
    print("refused", error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of address space")
def test_an_image_that_memory_does_not_hold_is_not_called_damaged(tmp_path: Path) -> None:
    """Under a limit of address space a large image fails as a passing cause, in whatever words the decoder fails."""
    for form in ("PNG", "JPEG", "WEBP", "TIFF"):
        path = save(photo(1, (5000, 4000)), tmp_path / f"a.{form.lower()}", format=form)
        run = subprocess.run([sys.executable, "-c", STARVED, str(path)], capture_output=True, text=True, check=False)
        assert run.stdout.startswith("passing"), (form, run.stdout, run.stderr[-300:])


def test_a_passing_failure_is_retried_never_cached_and_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once: read again. Lasting: the run stops, nothing is stored, and with memory back every image is there."""
    data = dataset.read(folder(tmp_path / "data", {"cat": 4, "dog": 4}), test_split="none")
    monkeypatch.setattr(pixels, "_PAUSES_S", (0.0, 0.0))
    whole = pixels.decode
    failures = [2]

    def sometimes(content: bytes, rule: pixels.PixelRule) -> object:
        if failures[0]:
            failures[0] -= 1
            raise MemoryError
        return whole(content, rule)

    store = cache.Store()
    monkeypatch.setattr(pixels, "decode", sometimes)
    assert pixels.canvas(data.root, data.items, RULE, store=None, threads=1)[1] == ()
    failures[0] = 99
    with pytest.raises(TransientReadError, match="not enough memory") as caught:
        pixels.canvas(data.root, data.items, RULE, store=store, threads=1)
    assert caught.value.exit_code == 4
    assert not store.entries()
    failures[0] = 0
    assert pixels.canvas(data.root, data.items, RULE, store=store)[1] == ()


def test_a_scan_without_descriptors_stops_and_sets_nothing_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EMFILE while files are hashed is no unreadable image."""
    root = folder(tmp_path, {"cat": 4, "dog": 4})
    monkeypatch.setattr(file_scan, "_PAUSES_S", ())

    def starved(content: object) -> object:
        raise OSError(24, os.strerror(24))

    monkeypatch.setattr(images, "header", starved)
    with pytest.raises(TransientReadError, match="Too many open files"):
        dataset.read(root)


def test_threads_share_one_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many threads decode, what they hold together stays within the bound; a larger image is refused."""
    monkeypatch.setenv(decode_limits.ENVIRONMENT, "1000")
    held, peak, lock = [0], [0], threading.Lock()

    def work() -> None:
        for _ in range(20):
            with decode_limits.reserved(5_000):
                with lock:
                    held[0] += 5_000
                    peak[0] = max(peak[0], held[0])
                with lock:
                    held[0] -= 5_000

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert peak[0] <= decode_limits.total_bytes() == 12_000
    with pytest.raises(ValueError, match="--max-pixels"), decode_limits.reserved(12_001):
        pass


def test_the_limit_of_pixels_can_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image above the limit is refused with the option that raises it, and read with it."""
    content = io.BytesIO()
    photo(1, (60, 50)).save(content, "PNG")
    monkeypatch.setenv(decode_limits.ENVIRONMENT, "2999")
    with pytest.raises(ValueError, match="--max-pixels"):
        images.header(content.getvalue())
    monkeypatch.setenv(decode_limits.ENVIRONMENT, "3000")
    assert images.header(content.getvalue())[:2] == (60, 50)


# The highest resident memory is read of this address space and reset first: `ru_maxrss` begins with what the process that
# started this one held, and would hide every decoding that takes less than a whole run of the tests.
PEAK = """
import sys
from PIL import Image
Image.init()
from advisor.data import images, pixels

def memory(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))

with images.quiet():
    rule = pixels.PixelRule(24, 28, "nearest")  # which reads every pixel of a JPEG
    pixels.decode(open(sys.argv[2], "rb").read(), rule)  # loads what the first image loads
    open("/proc/self/clear_refs", "w").write("5")
    before = memory("VmRSS:")
    pixels.decode(open(sys.argv[1], "rb").read(), rule)
print((memory("VmHWM:") - before) / int(sys.argv[3]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is counted in other units elsewhere")
@pytest.mark.parametrize(
    ("mode", "form"),
    [
        ("I;16", "PNG"),
        ("RGBA", "PNG"),
        ("LA", "PNG"),
        ("F", "TIFF"),
        ("RGB", "JPEG"),
        ("RGB", "WEBP"),
        ("RGBA", "WEBP"),
    ],
)
def test_decoding_takes_no_more_than_is_reserved(tmp_path: Path, mode: str, form: str) -> None:
    """The resident memory of one large image stays within the bytes per pixel that its format reserves."""
    side = 3000
    if mode in ("I;16", "F"):
        kind = np.uint16 if mode == "I;16" else np.float32
        image = Image.fromarray((np.arange(side * side) % 60_000).reshape(side, side).astype(kind))
    else:
        image = photo(2, (side, side)).convert(mode)
        if "A" in mode:
            image.putalpha(Image.linear_gradient("L").resize((side, side)))
    path = save(image, tmp_path / "a", format=form)
    first = save(image.resize((40, 40)), tmp_path / "b", format=form)
    arguments = [sys.executable, "-c", PEAK, str(path), str(first), str(side * side)]
    run = subprocess.run(arguments, capture_output=True, text=True, check=True)
    taken = float(run.stdout) - (path.stat().st_size + 8_000_000) / side**2  # the file, and what no size changes
    assert 1 < taken <= decode_limits.peak_bytes(1, 1, form)  # above 1: what is measured is the decoding
