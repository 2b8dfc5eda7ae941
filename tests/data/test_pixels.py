"""Squares of pixels: the resize and crop of torchvision, bit for bit, and the other fits, at any shape of image."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from photographs import jpeg
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tv

from advisor.data import images, pixels
from advisor.records import Preprocess

MODES = {
    "nearest": InterpolationMode.NEAREST,
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
}


@pytest.mark.parametrize("interpolation", sorted(MODES))
@pytest.mark.parametrize(("resize_px", "size_px"), [(28, 24), (29, 24), (32, 25), (24, 24), (40, 18), (256, 224)])
def test_crops_are_those_of_torchvision(interpolation: str, resize_px: int, size_px: int) -> None:
    """Resize and CenterCrop of torchvision give the same bits, for any shape of image and parity of margins."""
    rule = pixels.PixelRule(size_px, resize_px, interpolation)
    for number, size in enumerate([(48, 40), (41, 67), (90, 31), (30, 30), (28, 28), (24, 200), (57, 58)]):
        content = jpeg(size, number)
        reference = tv.resize(images.open_rgb(content), [resize_px], MODES[interpolation])
        expected = np.asarray(tv.center_crop(reference, [size_px, size_px]))
        stored = pixels.decode(content, rule)
        assert stored.shape == (resize_px, resize_px, 3)
        assert np.array_equal(pixels.centre(stored[None], size_px)[0], expected), size


@pytest.mark.parametrize("fit", pixels.FITS)
def test_a_large_jpeg_is_decoded_at_a_reduced_scale(fit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is cut from it is what the whole photo would give, but for a few grey levels; smaller photos stay exact."""
    rule = pixels.PixelRule(112, 128, fit=fit)
    large, at_the_limit = jpeg((2048, 1536), 3), jpeg((1600, 1250), 3)
    reduced, exact = pixels.decode(large, rule), pixels.decode(at_the_limit, rule)
    monkeypatch.setattr(pixels, "LARGE_JPEG", 10**9)
    difference = np.abs(reduced.astype(int) - pixels.decode(large, rule))
    assert 0 < difference.max() <= 12
    assert difference.mean() < 1
    assert np.array_equal(exact, pixels.decode(at_the_limit, rule))


def test_a_reduced_scale_is_never_smaller_than_the_square_needs() -> None:
    """Where twice the square is more than half of the photo, all of its pixels are used; nearest picks single ones."""
    content = jpeg((2048, 1536), 4)
    whole = images.open_rgb(content)
    for rule in (pixels.PixelRule(480, 480), pixels.PixelRule(112, 128, "nearest")):
        assert np.array_equal(pixels.decode(content, rule), pixels.fitted(whole, rule))


def test_squash_resizes_both_sides() -> None:
    """Nothing is cut away, the aspect changes."""
    content = jpeg((60, 30))
    expected = np.asarray(tv.resize(images.open_rgb(content), [24, 24], MODES["bilinear"]))
    assert np.array_equal(pixels.decode(content, pixels.PixelRule(24, 28, fit="squash")), expected)


def test_pad_keeps_all_and_fills_the_rest() -> None:
    """The long side fits, the rest has the mean colour, the picture stands in the middle."""
    content = jpeg((60, 30))
    square = pixels.decode(content, pixels.PixelRule(24, 28, fit="pad"))
    assert np.array_equal(square[6:18], np.asarray(tv.resize(images.open_rgb(content), [12, 24], MODES["bilinear"])))
    assert np.all(square[:6] == pixels.PAD_COLOUR)
    assert np.all(square[18:] == pixels.PAD_COLOUR)


@pytest.mark.parametrize("fit", pixels.FITS)
def test_extreme_shapes_are_fitted(fit: str) -> None:
    """A strip of one pixel's width and a single pixel become squares as well."""
    for size in ((1, 300), (300, 1), (1, 1)):
        square = pixels.decode(jpeg(size), pixels.PixelRule(24, 28, fit=fit))
        assert square.shape == (28, 28, 3) if fit == "crop" else (24, 24, 3)


@pytest.mark.parametrize("interpolation", sorted(MODES))
@pytest.mark.parametrize("size", [(6, 301), (301, 6), (3, 1999), (1999, 3), (40, 2100), (1, 700)])
def test_narrow_images_are_cropped_as_if_they_were_enlarged_first(interpolation: str, size: tuple[int, int]) -> None:
    """Above a ratio of 50 the square is cut without the enlarged image; rounding of positions may cost one level."""
    rule = pixels.PixelRule(24, 28, interpolation)
    content = jpeg(size, 3)
    picture = images.open_rgb(content)
    reference = np.asarray(tv.center_crop(tv.resize(picture, [28], MODES[interpolation]), [24, 24]), dtype=int)
    square = pixels.centre(pixels.decode(content, rule)[None], 24)[0].astype(int)
    allowed = 1 if interpolation != "nearest" else 255  # a position on the border of two pixels may fall to either
    assert np.abs(square - reference).max() <= allowed
    assert (square != reference).mean() < 0.05


@pytest.mark.parametrize("interpolation", sorted(MODES))
@pytest.mark.parametrize("size", [(6, 300), (300, 6), (1, 50), (40, 2000)])
def test_up_to_a_ratio_of_fifty_crops_are_those_of_torchvision(interpolation: str, size: tuple[int, int]) -> None:
    """To the bit, as for other shapes."""
    picture = images.open_rgb(jpeg(size, 3))
    reference = tv.center_crop(tv.resize(picture, [28], MODES[interpolation]), [24, 24])
    square = pixels.fitted(picture, pixels.PixelRule(24, 28, interpolation))
    assert np.array_equal(pixels.centre(square[None], 24)[0], np.asarray(reference))


STARVED = """
import resource, sys
from PIL import Image
from advisor.data import pixels
picture = Image.new("RGB", (int(sys.argv[1]), int(sys.argv[2])), (90, 120, 150))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 50_000_000, used + 50_000_000))
square = pixels.fitted(picture, pixels.PixelRule(224, 256, fit=sys.argv[3]))
print(square.shape, square[len(square) // 2, len(square) // 2])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of address space")
@pytest.mark.parametrize("fit", pixels.FITS)
@pytest.mark.parametrize("size", [("1", "200000"), ("200000", "1")])
def test_a_narrow_image_takes_no_more_memory_than_it_holds(fit: str, size: tuple[str, str]) -> None:
    """Neither side is enlarged beyond the square: 50 MB hold it many times over."""
    side = 256 if fit == "crop" else 224
    command = [sys.executable, "-c", STARVED, *size, fit]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-300:]
    assert run.stdout.startswith(f"({side}, {side}, 3) [")
    assert fit == "pad" or "[ 90 120 150]" in run.stdout


def test_the_rule_scales_with_the_input_size() -> None:
    """Resize keeps its ratio to the crop at every size, and is never smaller than it."""
    own = Preprocess(size=224, resize=256, interpolation="bicubic")
    assert pixels.rule_for(own, 224, "crop") == pixels.PixelRule(224, 256, "bicubic", "crop")
    assert pixels.rule_for(own, 112, "crop").side_px == 128
    assert pixels.rule_for(own, 112, "squash").side_px == 112
    assert pixels.rule_for(Preprocess(size=224, resize=224), 96, "crop").side_px == 96
    with pytest.raises(ValueError, match="crop, squash, pad"):
        pixels.rule_for(own, 224, "stretch")
