"""Squares of pixels: the resize and crop of torchvision, bit for bit, and the other fits, at any shape of image."""

from __future__ import annotations

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


def test_the_rule_scales_with_the_input_size() -> None:
    """Resize keeps its ratio to the crop at every size, and is never smaller than it."""
    own = Preprocess(size=224, resize=256, interpolation="bicubic")
    assert pixels.rule_for(own, 224, "crop") == pixels.PixelRule(224, 256, "bicubic", "crop")
    assert pixels.rule_for(own, 112, "crop").side_px == 128
    assert pixels.rule_for(own, 112, "squash").side_px == 112
    assert pixels.rule_for(Preprocess(size=224, resize=224), 96, "crop").side_px == 96
    with pytest.raises(ValueError, match="crop, squash, pad"):
        pixels.rule_for(own, 224, "stretch")
