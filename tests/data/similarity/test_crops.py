"""Crops and mirror images are found and confirmed on pixels; other pictures are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_image

from advisor.data import dataset, duplicates, profile
from advisor.data.similarity import alignment
from advisor.records import DuplicateGroup

SIZE = (160, 120)
PICTURES = [
    Image.fromarray(load_sample_image(name)[top : top + 210, left : left + 310]).resize(SIZE, Image.Resampling.LANCZOS)
    for name in ("china.jpg", "flower.jpg")
    for top in (0, 213)
    for left in (0, 325)
]  # eight different pictures without overlap


def written(root: Path, extra: dict[str, Image.Image]) -> Path:
    """Write the pictures, half of them into each class, and `extra` images by their path."""
    for number, picture in enumerate(PICTURES):
        path = root / f"c{number % 2}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=92)
    for name, picture in extra.items():
        picture.save(root / name, quality=90)
    return root


def groups(root: Path) -> tuple[DuplicateGroup, ...]:
    data = dataset.read(root, test_split="none")
    small, _ = duplicates.thumbnails(data.root, data.items)
    return duplicates.similar(data.root, data.items, small)


def cropped(picture: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """Cut shares of the side off a picture."""
    return picture.crop(
        (int(SIZE[0] * left), int(SIZE[1] * top), int(SIZE[0] * (1 - right)), int(SIZE[1] * (1 - bottom)))
    )


@pytest.mark.parametrize("number", [1, 4])
@pytest.mark.parametrize(
    ("edges", "kind"),
    [
        ((0.0, 0.1, 0.05, 0.0), "crop"),
        ((0.05, 0.08, 0.1, 0.05), "crop"),
        ((0.2, 0.0, 0.0, 0.0), "crop"),
        (None, "mirror"),
    ],
)
def test_a_crop_and_a_mirror_image_are_found(
    tmp_path: Path, number: int, edges: tuple[float, float, float, float] | None, kind: str
) -> None:
    """With the picture that they were made from, and with no other."""
    picture = PICTURES[number]
    copy = cropped(picture, *edges) if edges else picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    root = written(tmp_path, {"c0/copy.jpg": copy})
    assert [(g.kind, set(g.paths)) for g in groups(root)] == [(kind, {"c0/copy.jpg", f"c{number % 2}/{number}.jpg"})]


def test_different_pictures_are_not_joined(tmp_path: Path) -> None:
    """Neither photographs, nor drawings of few lines on white, nor another object in the same scene."""
    drawings = {}
    draws = np.random.default_rng(0)
    for number in range(24):
        drawing = Image.new("RGB", SIZE, "white")
        points = [(int(x), int(y)) for x, y in draws.uniform((20, 15), (140, 105), (5, 2))]
        ImageDraw.Draw(drawing).line([*points, points[0]], fill="black", width=2)
        drawings[f"c{number % 2}/line-{number}.jpg"] = drawing
    scene = cropped(PICTURES[0], 0.1, 0.1, 0.0, 0.0)
    scene.paste(PICTURES[5].resize((30, 24)), (60, 40))
    assert groups(written(tmp_path, {**drawings, "c0/scene.jpg": scene})) == ()


def test_small_images_are_not_searched_for_crops(tmp_path: Path) -> None:
    """Below 80 pixels there is too little to confirm a crop on, and small drawings are alike by the hundred."""
    for number in range(6):
        path = tmp_path / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        PICTURES[number].resize((72, 72)).save(path)
    PICTURES[0].transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((72, 72)).save(tmp_path / "a" / "mirror.png")
    assert groups(tmp_path) == ()


@pytest.mark.parametrize("edges", [(0.0, 0.15, 0.0, 0.0), (0.05, 0.1, 0.05, 0.15)])
def test_a_crop_of_a_picture_of_80_pixels_is_found(tmp_path: Path, edges: tuple[float, float, float, float]) -> None:
    """The limit holds for the whole picture: its crop has fewer pixels than that."""
    for number, picture in enumerate(PICTURES):
        path = tmp_path / f"c{number % 2}" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        picture.resize((106, 80), Image.Resampling.LANCZOS).save(path, quality=92)
    copy = cropped(PICTURES[3], *edges)
    copy.resize((copy.width * 2 // 3, copy.height * 2 // 3), Image.Resampling.LANCZOS).save(
        tmp_path / "c0" / "copy.jpg"
    )
    mirrored = cropped(PICTURES[6].transpose(Image.Transpose.FLIP_LEFT_RIGHT), 0.0, 0.1, 0.0, 0.0)
    mirrored.resize((106, 72), Image.Resampling.LANCZOS).save(tmp_path / "c0" / "mirrored.jpg")
    joined = [(g.kind, set(g.paths)) for g in groups(tmp_path)]
    assert joined == [("crop", {"c0/copy.jpg", "c1/3.jpg"}), ("mirror", {"c0/6.jpg", "c0/mirrored.jpg"})]


def test_a_crop_in_the_test_is_a_leak_and_a_crop_with_another_label_a_contradiction(tmp_path: Path) -> None:
    """Both are said as of any duplicate, and removal takes the training image."""
    written(tmp_path / "train", {"c1/wrong.jpg": cropped(PICTURES[2], 0.1, 0.0, 0.0, 0.1)})
    written(tmp_path / "test", {})
    for path in (tmp_path / "test").rglob("?.jpg"):
        path.unlink()
    for name in "01":
        cropped(PICTURES[int(name)], 0.05, 0.05, 0.05, 0.05).save(tmp_path / "test" / f"c{name}" / "new.jpg")
    data = dataset.read(tmp_path)
    decoded = profile.decode(data)
    measured = profile.measure(decoded.dataset, similar=decoded.similar)
    assert len(profile.leaks(measured)) == 2
    assert measured.warnings[0].startswith("leak: 2 training images with a duplicate in the test set")
    assert any("conflicting labels" in warning for warning in measured.warnings)
    clean = profile.without_leaks(decoded.dataset, measured)
    assert {i.path for i in data.pool} - {i.path for i in clean.pool} == {"train/c0/0.jpg", "train/c1/1.jpg"}


@pytest.mark.parametrize("part", [(0.05, 0.1, 0.85, 0.8), (0.0, 0.12, 0.95, 0.85)])
def test_the_alignment_finds_the_part_to_a_fraction_of_a_pixel(part: tuple[float, float, float, float]) -> None:
    """From a guess that is off by two pixels of 64, on a crop that Pillow made, brightened."""
    side = 64
    whole = PICTURES[6].resize((256, 256), Image.Resampling.LANCZOS)
    left, top, width, height = (256 * share for share in part)
    copy = whole.resize((side, side), Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))
    first = np.asarray(whole.resize((side, side), Image.Resampling.BILINEAR))[None]
    second = (np.asarray(copy)[None] * 0.8 + 20).astype(np.uint8)
    guess = np.array([[part[0] + 0.03, part[1] - 0.03, part[2] - 0.02, part[3] + 0.02]])
    parts, correlation = alignment.align(first, second, guess, steps=10)
    assert np.abs(parts[0] - part).max() < 0.5 / side
    assert correlation[0] > 0.98
