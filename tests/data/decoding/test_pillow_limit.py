"""One bound of pixels, ours, wherever an image is opened: commands, server and report behave alike, in all threads."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from photographs import photo, save
from PIL import Image

from advisor.data import image_inputs, images, pixels
from advisor.data.decoding import decode_limits, pillow_limit
from advisor.errors import RequestError
from advisor.reporting import thumbnails
from advisor.serving.limits import ServerLimits, check_header

RULE = pixels.PixelRule(24, 28)
USES: dict[str, Callable[[Path], object]] = {
    "prediction": lambda path: image_inputs.square(path, RULE),
    "served image": lambda path: image_inputs.square(path.read_bytes(), RULE),
    "header": images.header,
    "server's check": lambda path: check_header(path.read_bytes(), ServerLimits()),
    "thumbnail": lambda path: thumbnails.make(path.parent, [path.name])[path.name],
}


@pytest.mark.parametrize("use", list(USES))
@pytest.mark.parametrize("pillows_own", [1_000, 2_000])  # an error, and a warning, for 3,000 pixels
def test_what_our_bound_admits_is_read_without_a_warning(
    use: str, pillows_own: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow's own bound neither refuses nor warns, and is there again afterwards."""
    path = save(photo(1, (60, 50)), tmp_path / "a.png", format="PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillows_own)
    monkeypatch.setenv(decode_limits.ENVIRONMENT, "4000")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert USES[use](path) is not False
    assert pillows_own == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("use", ["prediction", "served image", "header", "server's check"])
def test_what_our_bound_refuses_is_refused(use: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One pixel above it is too much, and the reason names it."""
    path = save(photo(1, (60, 50)), tmp_path / "a.png", format="PNG")
    monkeypatch.setenv(decode_limits.ENVIRONMENT, "2999")
    with pytest.raises((ValueError, RequestError), match="2,999 pixels"):
        USES[use](path)


def test_an_icon_cannot_hide_a_larger_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound holds for the image inside of the file, whatever size the file's own header states."""
    inside, icon = io.BytesIO(), io.BytesIO()
    photo(1, (200, 200)).save(inside, "PNG")
    photo(1, (16, 16)).save(icon, "ICO", sizes=[(16, 16)])
    content = icon.getvalue()[:14] + len(inside.getvalue()).to_bytes(4, "little") + (22).to_bytes(4, "little")
    monkeypatch.setenv(decode_limits.ENVIRONMENT, "30000")
    with pytest.raises(ValueError, match="decompression bomb"):
        images.open_rgb(content + inside.getvalue())


def test_threads_that_overlap_put_pillows_bound_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever ends first: the bound is ours until the last one has ended, then what it was before."""
    content = io.BytesIO()
    photo(1, (60, 50)).save(content, "PNG")
    own = 1_234
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", own)
    first_is_open, second_is_done = threading.Event(), threading.Event()

    def first() -> None:
        with pillow_limit.replaced():
            first_is_open.set()
            second_is_done.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    assert first_is_open.wait(10)
    images.header(content.getvalue())
    assert decode_limits.MAX_PIXELS == Image.MAX_IMAGE_PIXELS
    second_is_done.set()
    thread.join(10)
    assert own == Image.MAX_IMAGE_PIXELS
