"""`example.py` reads a photo as `predict` does, without this project: the same pixels, the same probabilities."""

from __future__ import annotations

import ast
import dataclasses
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import photographs
import pytest
from PIL import Image, ImageOps

from advisor import registry
from advisor.aliases import Pixels
from advisor.data import image_inputs, pixels
from advisor.exporting import run_export
from advisor.exporting.formats import registry as formats
from advisor.models import predictor
from advisor.models.predictor import Predictor


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [(70, 260), (260, 71), (64, 64), (73, 74), (500, 333)])
def test_the_stated_resize_is_the_products_own(run: Path, fit: str, size: tuple[int, int], tmp_path: Path) -> None:
    """The lines of the example give the same pixels as training and predict, whatever the photo's shape."""
    model = dataclasses.replace(predictor.load(run, registry.load()), fit=fit)
    noise = np.random.default_rng(2).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    photo = Image.fromarray(noise)
    want = pixels.centre(pixels.fitted(photo, model.rule)[None], model.size_px)
    path = tmp_path / "photo.png"
    photo.save(path)
    assert np.array_equal(example_pixels(model, path), want)


def example_pixels(model: Predictor, path: Path) -> Pixels:
    """Run the lines of the example that read and resize a photo."""
    lines = formats.find("torch").example(model).splitlines()
    first = lines.index("photo = Image.open(sys.argv[1])")
    scope: dict[str, Any] = {
        "np": np,
        "Image": Image,
        "ImageOps": ImageOps,
        "sys": SimpleNamespace(argv=["", str(path)], exit=sys.exit),
    }
    exec("\n".join(lines[first:-2]), scope)
    return cast(Pixels, scope["pixels"])


@pytest.mark.parametrize("fit", pixels.FITS)
def test_the_example_reads_a_large_photo_as_the_product_does(run: Path, fit: str, tmp_path: Path) -> None:
    """At the same reduced scale, in another orientation as well."""
    model = dataclasses.replace(predictor.load(run, registry.load()), fit=fit)
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = photographs.save(photographs.photo(5, (2048, 1365)), tmp_path / "camera.jpg", exif=exif)
    want = pixels.centre(pixels.decode(photo, model.rule)[None], model.size_px)
    assert np.array_equal(example_pixels(model, photo), want)
    with Image.open(photo) as opened:
        whole = pixels.centre(image_inputs.square(opened, model.rule)[None], model.size_px)
    difference = np.abs(whole.astype(int) - want)
    assert difference.max() <= 24
    assert 0 < difference.mean() < 1


def unusual_photos(folder: Path) -> list[Path]:
    """Write photos that are more than 8-bit RGB, or that must be turned; the last states its orientation in XMP alone."""
    whole = photographs.photo(3, (120, 80))
    half_clear = whole.copy()
    half_clear.putalpha(Image.linear_gradient("L").resize(whole.size))
    keyed = whole.convert("P")
    deep = Image.fromarray(np.asarray(whole.convert("L"), dtype=np.uint16) * 100)
    exif = Image.Exif()
    exif[0x0112] = 6
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    save = photographs.save
    return [
        save(half_clear, folder / "alpha.png"),
        save(half_clear.convert("LA"), folder / "grey-alpha.png"),
        save(keyed, folder / "palette.png", transparency=int(np.bincount(np.asarray(keyed).ravel()).argmax())),
        save(whole.convert("CMYK"), folder / "print.jpg"),
        save(deep, folder / "16-bit.png"),
        save(whole, folder / "turned.jpg", exif=exif, quality=95),
        save(whole, folder / "turned.tif", exif=exif),
        save(whole, folder / "xmp.jpg", xmp=xmp, quality=95),
    ]


def test_the_example_answers_as_predict_on_unusual_photos(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Transparency, 16-bit samples and orientations: from a file, from memory and in the example the photo looks the same."""
    photos = unusual_photos(tmp_path)
    model = predictor.load(run, registry.load())
    for photo in photos:
        want = pixels.centre(pixels.decode(photo, model.rule)[None], model.size_px)
        assert np.array_equal(example_pixels(model, photo), want), photo.name
        with Image.open(photo) as opened:
            assert np.array_equal(image_inputs.square(opened, model.rule), pixels.decode(photo, model.rule)), photo.name
    run_export.export(run, "torch", registry=registry.load(), to=tmp_path / "export")
    monkeypatch.chdir(tmp_path / "export")
    for photo, predicted in zip(photos, model.predict(photos).probabilities, strict=True):
        monkeypatch.setattr(sys, "argv", ["example.py", str(photo)])
        runpy.run_path("example.py")
        printed, _ = ast.literal_eval(capsys.readouterr().out.splitlines()[-1])
        assert printed == pytest.approx(predicted.max(), abs=1e-4), photo.name


def test_the_example_scales_deep_samples_as_predict_does(run: Path, tmp_path: Path) -> None:
    """By the range of the training images where there is one; without it, samples of an unknown range are refused."""
    plain = predictor.load(run, registry.load())
    ranged = dataclasses.replace(plain, preprocess=dataclasses.replace(plain.preprocess, value_range=(100.0, 3000.0)))
    grey = np.asarray(photographs.photo(3, (120, 80)).convert("L"), dtype=np.float32) * 14
    grey[:4] = np.nan
    floats = photographs.save(Image.fromarray(grey), tmp_path / "float.tif")
    deep = photographs.save(Image.fromarray(np.nan_to_num(grey).astype(np.uint16)), tmp_path / "deep.png")
    for photo in (floats, deep):
        want = pixels.centre(pixels.decode(photo, ranged.rule)[None], ranged.size_px)
        assert np.array_equal(example_pixels(ranged, photo), want), photo.name
    with pytest.raises(SystemExit, match="have no known range"):
        example_pixels(plain, floats)
