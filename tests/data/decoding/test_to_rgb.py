"""Images of more than 8 bits: one range over the data set, in training and at prediction; mixtures are said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from photographs import folder, photo
from PIL import Image

from advisor.data import dataset, image_inputs, images, pixels, profile
from advisor.data.decoding import to_rgb
from advisor.records import Preprocess


def write(root: Path, scale: float, kind: type = np.uint16, count: int = 6, start: int = 0) -> Path:
    """Write two classes of grey photographs whose samples are 8-bit values times `scale`."""
    for number in range(2 * count):
        grey = np.asarray(photo(start + number).convert("L"), np.float64) * scale
        path = root / ("cat" if number % 2 else "dog") / f"{start + number}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey.astype(kind)).save(path)
    return root


@pytest.mark.parametrize(
    ("scale", "kind", "expected"),
    [
        (4.0, np.uint16, (0.0, 1023.0)),
        (16.0, np.uint16, (0.0, 4095.0)),
        (257.0, np.uint16, (0.0, 65535.0)),
        (1.0, np.uint16, (0.0, 255.0)),
        (1 / 255, np.float32, (0.0, 1.0)),
        (1.0, np.float32, (0.0, 255.0)),
    ],
)
def test_the_range_is_found_over_the_data_set(
    tmp_path: Path, scale: float, kind: type, expected: tuple[float, float]
) -> None:
    """10 and 12 bits keep their grey levels: the pixels are those of the 8-bit photograph, within rounding."""
    data = dataset.read(write(tmp_path, scale, kind))
    assert data.value_range == expected
    assert profile.measure(data).value_range == expected
    rule = pixels.rule_for(Preprocess(size=32, resize=32, value_range=data.value_range), 32, "crop")
    for item in data.items[:4]:
        shown = pixels.decode(tmp_path / item.path, rule).astype(int)
        number = int(Path(item.path).stem)
        original = pixels.fitted(photo(number).convert("L").convert("RGB"), rule).astype(int)
        assert np.abs(shown - original).max() <= 2


def test_floats_of_any_range_share_one_scale(tmp_path: Path) -> None:
    """Two images with other extremes are not stretched each by itself."""
    data = dataset.read(write(tmp_path, 10.0, np.float32))
    ranges = [images.sample_range(tmp_path / item.path) for item in data.pool]
    assert data.value_range == (min(r[0] for r in ranges if r), max(r[1] for r in ranges if r))


def pairs_found(root: Path, bits: int) -> list[tuple[str, ...]]:
    """Write photographs, all but two of them under-exposed, each with a copy of three quarters of the size; search them."""
    for number in range(12):
        exposure = 2.0 ** (bits - 8) * (1.0 if number < 2 else 0.25)
        grey = photo(number, (160, 120)).convert("L")
        for name, size in (("a", (160, 120)), ("b", (120, 90))):
            samples = np.asarray(grey.resize(size, Image.Resampling.LANCZOS), np.float64) * exposure
            path = root / ("cat" if number % 2 else "dog") / f"{number:02d}{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(samples.astype(np.uint8 if bits == 8 else np.uint16)).save(path)
    return sorted(group.paths for group in profile.decode(dataset.read(root, test_split="none")).similar)


@pytest.mark.parametrize("bits", [10, 12])
def test_near_duplicates_are_found_in_the_range_of_the_data_set(tmp_path: Path, bits: int) -> None:
    """The same pairs as among the same photographs in 8 bits; of samples scaled by their type too few levels are left."""
    expected = pairs_found(tmp_path / "8", 8)
    assert len(expected) > 8
    assert pairs_found(tmp_path / str(bits), bits) == expected


def test_images_of_different_depths_are_said(tmp_path: Path) -> None:
    """8-bit values in a 16-bit container beside true 16 bits become dark: a warning says how many."""
    write(tmp_path, 257.0)
    data = dataset.read(write(tmp_path, 1.0, count=2, start=40))
    assert any("of different bit depths are mixed" in w for w in data.warnings)
    folder(tmp_path, {"cat": 2}, start=80)
    assert any("images of 8 bits and of more are mixed" in w for w in dataset.read(tmp_path).warnings)


def test_deep_colour_is_said(tmp_path: Path) -> None:
    """Colour PNGs of 16 bits per channel are read with their upper 8 bits: their mode and a warning say it."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    folder(tmp_path, {"cat": 4, "dog": 4})
    header = struct.pack(">IIBBBBB", 40, 40, 16, 2, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + bytes(range(240)) for _ in range(40)))
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    (tmp_path / "cat" / "deep.png").write_bytes(content)
    assert images.header(content)[2] == "RGB;16"
    assert any("16 bits per channel" in w for w in dataset.read(tmp_path).warnings)


def test_an_array_in_memory_uses_the_range_of_the_model(tmp_path: Path) -> None:
    """A PIL image of 16 bits is scaled as its file is."""
    write(tmp_path, 16.0)
    rule = pixels.PixelRule(24, 24, value_range=(0.0, 4095.0))
    path = tmp_path / "dog" / "0.tif"
    with Image.open(path) as image:
        assert np.array_equal(image_inputs.square(image, rule), image_inputs.square(path, rule))


def test_without_a_range_the_key_of_the_cache_is_as_before() -> None:
    """Eight-bit data sets keep their decoded pixels; a range is part of the key."""
    plain, ranged = pixels.PixelRule(24, 28), pixels.PixelRule(24, 28, value_range=(0.0, 4095.0))
    assert "value_range" not in pixels.key_fields((), plain)
    assert json.loads(json.dumps(pixels.key_fields((), ranged)))["value_range"] == [0.0, 4095.0]


def test_conversion_in_strips_equals_conversion_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of the strips changes no pixel."""
    rgba = photo(3, (70, 50)).convert("RGBA")
    rgba.putalpha(Image.linear_gradient("L").resize(rgba.size))
    deep = Image.fromarray((np.arange(3500, dtype=np.uint16) * 18).reshape(50, 70))
    whole = [np.asarray(to_rgb.convert(image)) for image in (rgba, deep)]
    monkeypatch.setattr(to_rgb, "_STRIP_PIXELS", 300)
    for image, expected in zip((rgba, deep), whole, strict=True):
        assert np.array_equal(np.asarray(to_rgb.convert(image)), expected)
