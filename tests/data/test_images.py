"""Headers and pixels of single files, of every kind that people have."""

from __future__ import annotations

import io
import os
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from photographs import photo, save
from PIL import Image, ImageOps

from advisor.data import dataset, images


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def png(width: int, height: int) -> bytes:
    """A PNG that promises width x height pixels and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def difference(image: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(image, np.float32) - np.asarray(other, np.float32)).mean())


def test_rgb_files_are_decoded_as_pillow_does(tmp_path: Path) -> None:
    """A plain JPEG gives exactly the pixels of Pillow, from a path and from bytes."""
    path = save(photo(1), tmp_path / "a.jpg")
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(np.asarray(images.open_rgb(path)), expected)
    assert np.array_equal(np.asarray(images.open_rgb(path.read_bytes())), expected)
    assert images.header(path) == (48, 40, "RGB")


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation_is_applied(turn: int) -> None:
    """Header and pixels are those that a viewer shows, for all eight orientations."""
    exif = Image.Exif()
    exif[0x0112] = turn
    content = encoded(photo(2), "JPEG", exif=exif)
    with Image.open(io.BytesIO(content)) as image:
        expected = ImageOps.exif_transpose(image)
    shown = images.open_rgb(content)
    assert np.array_equal(np.asarray(shown), np.asarray(expected))
    assert images.header(content)[:2] == shown.size


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF", "GIF"])
def test_transparency_is_shown_over_white(form: str) -> None:
    """Transparent pixels become white, opaque ones keep their colour."""
    picture = np.zeros((16, 16, 4), np.uint8)
    picture[:, 8:] = (200, 30, 40, 255)
    options = {"lossless": True} if form == "WEBP" else {}
    rgb = np.asarray(images.open_rgb(encoded(Image.fromarray(picture), form, **options)))
    assert np.all(rgb[:, :8] == 255)
    assert np.all(np.abs(rgb[:, 8:].astype(int) - (200, 30, 40)) <= 2)


def test_transparent_colour_of_a_palette_or_grey_file_is_shown_over_white() -> None:
    """A colour that is declared transparent is white as well."""
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([9, 9, 9, 200, 100, 50])
    palette.putpixel((3, 3), 1)
    rgb = np.asarray(images.open_rgb(encoded(palette, "PNG", transparency=0)))
    assert tuple(rgb[0, 0]) == (255, 255, 255)
    assert tuple(rgb[3, 3]) == (200, 100, 50)
    grey = np.asarray(images.open_rgb(encoded(Image.new("L", (4, 4), 7), "PNG", transparency=7)))
    assert np.all(grey == 255)


def test_palette_images_keep_their_colours() -> None:
    """A palette image is close to the photograph that it was made from."""
    assert difference(images.open_rgb(encoded(photo(3).quantize(256), "PNG")), photo(3)) < 6


def test_cmyk_files_keep_their_colours() -> None:
    """A CMYK JPEG looks like the RGB photograph that it was made from."""
    content = encoded(photo(4).convert("CMYK"), "JPEG", quality=95)
    assert images.header(content)[2] == "CMYK"
    assert difference(images.open_rgb(content), photo(4)) < 6


def test_sixteen_bit_files_are_scaled_not_cut() -> None:
    """65535 becomes 255 and 32768 becomes the middle, in PNG and TIFF."""
    ramp = np.array([[0, 257, 32768, 65535]], np.uint16)
    for form in ("PNG", "TIFF"):
        rgb = np.asarray(images.open_rgb(encoded(Image.fromarray(ramp), form)))
        assert rgb[0, :, 0].tolist() == [0, 1, 128, 255], form


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.0, 0.5, 1.0], [0, 128, 255]), ([0.0, 100.0, 255.0], [0, 100, 255]), ([-5.0, 0.0, 5.0], [0, 128, 255])],
)
def test_float_files_are_brought_to_eight_bits(values: list[float], expected: list[int]) -> None:
    """Floats in 0..1 or 0..255 keep their meaning; any other range is stretched."""
    content = encoded(Image.fromarray(np.array([values], np.float32)), "TIFF")
    assert np.asarray(images.open_rgb(content))[0, :, 0].tolist() == expected


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGBA", "YCbCr", "HSV", "I"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    """Whatever Pillow's mode is, the result is RGB of the same size."""
    content = encoded(photo(5).convert(mode if mode != "HSV" else "RGB"), "TIFF" if mode != "LA" else "PNG")
    assert images.open_rgb(content).mode == "RGB"
    assert images.open_rgb(content).size == (48, 40)


def test_an_uncompressed_ycbcr_tiff_has_its_colours_with_every_pillow() -> None:
    """Strips of three bytes per pixel are read as such, also where other bytes follow them (Pillow before 13 reads four)."""
    content = encoded(photo(5).convert("YCbCr"), "TIFF")
    assert images.header(content)[2] == "YCbCr"
    assert difference(images.open_rgb(content), photo(5)) < 2
    assert difference(images.open_rgb(content + bytes(10_000)), photo(5)) < 2


def test_the_first_frame_of_an_animation_is_taken() -> None:
    """A GIF or WebP with many frames is the picture that it starts with."""
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    for form in ("GIF", "WEBP"):
        content = encoded(frames[0], form, save_all=True, append_images=frames[1:])
        assert tuple(np.asarray(images.open_rgb(content))[4, 4] // 250) == (1, 0, 0), form


def test_draft_decoding_looks_the_same(tmp_path: Path) -> None:
    """A JPEG decoded at a reduced scale is at least as large as asked and shows the same picture."""
    content = encoded(photo(6, (640, 512)), "JPEG", quality=95)
    small = images.open_rgb(content, draft_px=64)
    assert 64 <= min(small.size) < 512
    full = images.open_rgb(content)
    assert difference(small.resize((32, 32), Image.Resampling.BOX), full.resize((32, 32), Image.Resampling.BOX)) < 4


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty file"),
        (b"these are words", "not an image"),
        (b"\xff\xd8\xff\xe0 and nothing else", "truncated"),
        (png(60_000, 60_000), "decompression bomb"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", "not an image"),
    ],
)
def test_what_is_no_image_gives_a_short_reason(content: bytes, why: str) -> None:
    """Header and decoder refuse with the same few words, without addresses; PostScript is never run."""
    for read in (images.header, images.open_rgb):
        with pytest.raises(ValueError, match=why) as caught:
            read(content)
        assert "0x" not in str(caught.value)
        assert len(str(caught.value)) < 120


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_truncated_files_have_a_header_and_no_pixels(form: str) -> None:
    """A file cut in the middle is refused when it is decoded, in full and as a draft."""
    content = encoded(photo(7, (200, 160)), form)
    cut = content[: len(content) // 2]
    for draft in (0, 32):
        with pytest.raises(ValueError) as caught:
            images.open_rgb(cut, draft_px=draft)
        assert str(caught.value)


def test_flipped_bytes_never_escape_as_other_errors() -> None:
    """Damage anywhere in a file ends in pixels or in a ValueError with a reason, never in another exception."""
    draws = np.random.default_rng(0)
    refused = 0
    for form in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"):
        content = encoded(photo(8), form)
        for _ in range(60):
            damaged = bytearray(content)
            for offset in draws.integers(0, min(len(content), 400), 4):
                damaged[offset] = draws.integers(256)
            with images.quiet():
                try:
                    images.header(bytes(damaged))
                    images.open_rgb(bytes(damaged))
                except ValueError:
                    refused += 1
    assert refused > 10


def test_paths_that_are_no_files_are_refused_without_waiting(tmp_path: Path) -> None:
    """A missing file, a folder and a named pipe are refused at once."""
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    seen: list[str] = []

    def look() -> None:
        for name in ("pipe.jpg", "folder.jpg", "missing.jpg"):
            with pytest.raises(ValueError) as caught:
                images.open_rgb(tmp_path / name)
            seen.append(str(caught.value))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(10)
    assert seen == ["not a regular file", "not a regular file", "file not found"]


def test_a_renamed_file_is_read_by_its_content(tmp_path: Path) -> None:
    """A PNG called .jpg is a PNG."""
    path = tmp_path / "wrong.jpg"
    path.write_bytes(encoded(photo(9), "PNG"))
    assert images.header(path) == (48, 40, "RGB")
    assert np.array_equal(np.asarray(images.open_rgb(path)), np.asarray(photo(9)))


def test_suffixes_are_those_of_pillow() -> None:
    """Every suffix that we list is one that Pillow registers, or one that people have and Pillow may not read."""
    Image.init()
    registered = set(Image.registered_extensions())
    assert registered >= images.IMAGE_SUFFIXES - {
        ".heic",
        ".heif",
        ".avif",
        ".avifs",
        ".pfm",
        ".jpc",
        ".jpf",
        ".dcm",
        ".dicom",
    }


def test_stray_bytes_become_printable() -> None:
    """A name with bytes that are no UTF-8 can be printed and put into JSON."""
    assert images.printable(os.fsdecode(b"caf\xe9.jpg")) == "caf\\xe9.jpg"
    assert images.printable("naïve 😀.jpg") == "naïve 😀.jpg"


@pytest.mark.parametrize("turn", range(1, 9))
def test_an_oriented_tiff_has_the_size_that_is_shown(turn: int) -> None:
    """Pillow turns TIFF files itself: the header does not turn them again."""
    exif = Image.Exif()
    exif[0x0112] = turn
    content = encoded(photo(2), "TIFF", exif=exif)
    assert images.header(content)[:2] == images.open_rgb(content).size


def test_heic_is_read_where_the_reader_is_installed() -> None:
    """With pillow-heif a HEIC file is an image like any other."""
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    content = encoded(photo(3, (64, 48)), "HEIF")
    assert images.header(content)[:2] == (64, 48)
    assert difference(images.open_rgb(content), photo(3, (64, 48))) < 12


def test_dicom_is_shown_by_its_own_window(tmp_path: Path) -> None:
    """The stated window maps to black and white, and a data set says so; without one the rescaled values stay floats."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileMetaDataset

    values = np.linspace(0, 4095, 64 * 48).reshape(48, 64).astype(np.uint16)
    record = pydicom.Dataset()
    record.file_meta = FileMetaDataset()
    record.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    record.file_meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    record.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    record.Rows, record.Columns, record.SamplesPerPixel = 48, 64, 1
    record.BitsAllocated, record.BitsStored, record.HighBit, record.PixelRepresentation = 16, 12, 11, 0
    record.PhotometricInterpretation, record.RescaleSlope, record.RescaleIntercept = "MONOCHROME2", 1, -1000
    record.PixelData = values.tobytes()
    for window in (None, 1000):
        if window:
            record.WindowCenter, record.WindowWidth = 500, window
        stream = io.BytesIO()
        pydicom.dcmwrite(stream, record, enforce_file_format=True)
        width, height, mode = images.header(stream.getvalue())
        assert (width, height, mode) == (64, 48, "L;window" if window else "F")
        grey = np.asarray(images.open_rgb(stream.getvalue()))[..., 0]
        assert (grey[0, 0], grey[-1, -1]) == (0, 255)
    assert images.sample_range(stream.getvalue()) is None
    for name in ("ill", "well"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.dcm").write_bytes(stream.getvalue())
    assert any("2 DICOM files are shown by the window" in w for w in dataset.read(tmp_path).warnings)
