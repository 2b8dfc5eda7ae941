"""Pictures in any form become the square that training saw."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import photographs
import pytest
from PIL import Image

from advisor.data import image_inputs, pixels
from advisor.data.pixels import PixelRule
from advisor.errors import InputError

RULE = PixelRule(size_px=24, resize_px=28)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "RGBA", "P", "1", "I;16"])
def test_a_picture_in_memory_equals_its_file(mode: str, tmp_path: Path) -> None:
    """Whatever its mode, an opened picture, its bytes and its path give the same square."""
    image = photographs.photo(3).convert("L").convert("I;16") if mode == "I;16" else photographs.photo(3).convert(mode)
    if "A" in mode:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    path = photographs.save(image, tmp_path / "picture.png")
    expected = pixels.decode(path, RULE)
    for form in (path, str(path), path.read_bytes(), image, Image.open(path)):
        assert np.array_equal(image_inputs.square(form, RULE), expected)


def test_modes_that_no_png_holds(tmp_path: Path) -> None:
    """CMYK and HSV pictures become RGB."""
    for mode in ("CMYK", "HSV"):
        given = photographs.photo(4).convert(mode)
        assert np.array_equal(image_inputs.square(given, RULE), pixels.fitted(given.convert("RGB"), RULE))


def test_orientation_is_applied(tmp_path: Path) -> None:
    """A picture that its EXIF turns is turned, from a file and from memory."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = photographs.save(photographs.photo(5, (60, 30)), tmp_path / "turned.jpg", exif=exif, quality=95)
    with Image.open(path) as opened:
        assert np.array_equal(image_inputs.square(opened, RULE), image_inputs.square(path, RULE))


def test_arrays_are_pixels() -> None:
    """An (H, W, 3) uint8 array is taken as it is; anything else is told."""
    image = photographs.photo(6)
    assert np.array_equal(image_inputs.square(np.asarray(image), RULE), image_inputs.square(image, RULE))
    for wrong in (np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), dtype=np.uint8), 3, None):
        with pytest.raises(ValueError, match=r"an image array must|expected a path"):
            image_inputs.square(wrong, RULE)


@pytest.mark.parametrize(
    "empty", [np.zeros((0, 4, 3), dtype=np.uint8), Image.new("RGB", (0, 4)), Image.new("L", (4, 0))]
)
def test_an_image_without_pixels_is_told(empty: object) -> None:
    """A crop that went wrong gives one; it has no shape to fit into a square."""
    with pytest.raises(ValueError, match="an image without pixels"):
        image_inputs.square(empty, RULE)


def test_squares_stack_and_name_what_is_broken(tmp_path: Path) -> None:
    """Several pictures become one array; the one that cannot be read is named by path or position."""
    images = [photographs.photo(n) for n in range(3)]
    stacked = image_inputs.squares(images, RULE)
    assert stacked.shape == (3, 28, 28, 3)
    assert image_inputs.squares(stacked, RULE) is stacked
    assert image_inputs.squares([], RULE).shape == (0, 28, 28, 3)
    with pytest.raises(InputError, match="#1 cannot be read"):
        image_inputs.squares([images[0], _png(images[1])[:40]], RULE)
    with pytest.raises(InputError, match=r"lost\.jpg cannot be read: file not found"):
        image_inputs.squares([tmp_path / "lost.jpg"], RULE)
