"""One view = one square crop that the teachers and the student both look at.

In: the listed photographs and a numpy generator. Out: an RGB Pillow image of `TEACHER_PX`, a pure function of both.
Kinds of views: crops of photographs, collages of them (grids, cut-ins, blends), line drawings traced from them, and
generated images. Does NOT cover: the teachers' answers (`teachers`), what is kept on disk (`shards`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from advisor_pocket.training import generated

Rng = np.random.Generator
TEACHER_PX = 144

# What may teach, where it lies, and how often it is drawn. CIFAR-10 has thirty times the images but a fiftieth of the
# pixels of each, so the photographs are drawn about as often. hymenoptera, imagenet1000 and pacs/sketch never appear.
SOURCES: Mapping[str, tuple[tuple[str, ...], float]] = {
    "five_flowers": (("five_flowers",), 0.28),
    "flowers102": (("flowers102/train", "flowers102/val"), 0.12),
    "pacs_photo": (("pacs/photo",), 0.34),
    "cifar10": (("cifar10/train",), 0.26),
}
SHARE_GENERATED, SHARE_COLLAGE, SHARE_TRACED = 0.10, 0.15, 0.05

Photos = Sequence[tuple[float, Sequence[Path], float]]  # (share, files, smallest share of the area that a crop keeps)


def photographs(data: Path) -> Photos:
    """List the photographs under `data` in sorted order. Raises FileNotFoundError where a source is empty."""
    listed = []
    for name, (folders, share) in SOURCES.items():
        files = sorted(path for folder in folders for path in (data / folder).glob("*/*.jpg"))
        if not files:
            raise FileNotFoundError(f"no images of {name} under {data}: unpack the shared data set there")
        listed.append((share, files, 0.5 if name == "cifar10" else 0.2))
    return listed


def crop(rng: Rng, photos: Photos, size: int) -> Image.Image:
    """Draw a photograph and cut a random part of it: area and aspect ratio drawn, flipped half the time."""
    _, files, smallest = photos[int(rng.choice(len(photos), p=[share for share, _, _ in photos]))]
    with Image.open(files[int(rng.integers(len(files)))]) as opened:
        image = opened.convert("RGB")
    width, height = image.size
    area = width * height * rng.uniform(smallest, 1.0)
    aspect = float(np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3))))
    w = min(width, max(8.0, (area * aspect) ** 0.5))
    h = min(height, max(8.0, (area / aspect) ** 0.5))
    x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
    filters = (Image.Resampling.BICUBIC, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS)
    image = image.resize((size, size), filters[int(rng.integers(3))], box=(x, y, x + w, y + h))
    return ImageOps.mirror(image) if rng.random() < 0.5 else image


def jitter(rng: Rng, image: Image.Image) -> Image.Image:
    """Shift colours, now and then to grey or out of focus: the teachers see the same, so the answer stays true."""
    if rng.random() < 0.6:
        for kind, reach in ((ImageEnhance.Brightness, 0.4), (ImageEnhance.Contrast, 0.4), (ImageEnhance.Color, 0.6)):
            image = kind(image).enhance(rng.uniform(1 - reach, 1 + reach))
    if rng.random() < 0.2:
        hue, saturation, value = image.convert("HSV").split()
        shift = int(rng.integers(-30, 31))
        hue = hue.point(lambda level: (level + shift) % 256)
        image = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
    if rng.random() < 0.06:
        image = ImageOps.grayscale(image).convert("RGB")
    if rng.random() < 0.06:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 2.0)))
    return image


def collage(rng: Rng, photos: Photos, size: int) -> Image.Image:
    """Join several crops: a 2 x 2 grid, one cut into another, or two blended."""
    kind = rng.random()
    image = crop(rng, photos, size)
    if kind < 0.3:
        middle = int(rng.uniform(0.35, 0.65) * size)
        for box in ((middle, 0), (0, middle), (middle, middle)):
            image.paste(crop(rng, photos, size), box)
        return image
    other = crop(rng, photos, size) if rng.random() < 0.8 else generated.draw(rng, size)
    if kind < 0.7:
        w, h = (int(v) for v in rng.uniform(0.3, 0.75, 2) * size)
        image.paste(other.resize((w, h)), (int(rng.integers(size - w)), int(rng.integers(size - h))))
        return image
    return Image.blend(image, other, rng.uniform(0.25, 0.75))


def traced(rng: Rng, photos: Photos, size: int) -> Image.Image:
    """Trace a photograph's edges as dark lines on light ground."""
    image = ImageOps.grayscale(crop(rng, photos, size)).filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 1.8)))
    edges = ImageOps.autocontrast(image.filter(ImageFilter.FIND_EDGES).crop((1, 1, size - 1, size - 1)), cutoff=1)
    gain, floor = rng.uniform(1.0, 4.0), rng.uniform(10, 60)
    lines = ImageOps.invert(edges.point(lambda level: min(255, max(0, (level - floor) * gain))))
    return lines.resize((size, size)).convert("RGB")


def render(rng: Rng, photos: Photos, size: int = TEACHER_PX) -> Image.Image:
    """Draw one view of any kind."""
    kind = rng.random()
    if kind < SHARE_GENERATED:
        return generated.draw(rng, size)
    kind -= SHARE_GENERATED
    if kind < SHARE_TRACED:
        return traced(rng, photos, size)
    kind -= SHARE_TRACED
    return jitter(rng, collage(rng, photos, size) if kind < SHARE_COLLAGE else crop(rng, photos, size))
