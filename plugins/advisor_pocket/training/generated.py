"""Images that nobody photographed: noise, dead leaves, fractals, line drawings, gratings and blobs.

In: a numpy generator and a size in pixels. Out: an RGB Pillow image, a pure function of both. They widen what the
teachers are asked about beyond the few thousand photographs that are available. Does NOT cover: photographs (`views`).
Sources: dead leaves and spectral noise as in Baradad et al. 2021 (2106.05963); iterated function systems as in
Kataoka et al. 2021 (2101.08515). Own code.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

Rng = np.random.Generator


def colour(rng: Rng) -> tuple[int, int, int]:
    """Draw a colour, half of the time a muted one, since nature is mostly muted."""
    base = rng.integers(0, 256, 3).astype(float)
    if rng.random() < 0.5:
        base = base.mean() + 0.35 * (base - base.mean())
    return int(base[0]), int(base[1]), int(base[2])


def field(rng: Rng, size: int) -> np.ndarray:
    """Sum octaves of interpolated noise into one field (size, size) in 0..1; the slope of its spectrum is drawn."""
    persistence = rng.uniform(0.35, 0.8)
    total = np.zeros((size, size), np.float32)
    cells, weight = int(rng.integers(2, 5)), 1.0
    while cells <= size:
        grid = Image.fromarray(rng.random((cells, cells), dtype=np.float32))
        total += weight * np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC))
        cells, weight = cells * 2, weight * persistence
    span = float(total.max() - total.min())
    return np.asarray((total - total.min()) / (span or 1.0))


def noise(rng: Rng, size: int) -> Image.Image:
    """Colour a noise field: as clouds, or folded by a sine into something like marble, wood or fur."""
    base = field(rng, size)
    if rng.random() < 0.5:
        base = 0.5 + 0.5 * np.sin(base * rng.uniform(4, 40) + rng.uniform(0, 6))
    low, high = np.array(colour(rng), np.float32), np.array(colour(rng), np.float32)
    pixels = low + base[..., None] * (high - low)
    if rng.random() < 0.5:
        pixels += 60 * (field(rng, size)[..., None] - 0.5) * rng.normal(size=3)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def gratings(rng: Rng, size: int) -> Image.Image:
    """Multiply or add two plane waves: stripes, plaids, checkerboards."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    waves = []
    for _ in range(2):
        angle, frequency = rng.uniform(0, math.pi), 2 ** rng.uniform(1, 6)
        wave = np.sin(frequency * (x * math.cos(angle) + y * math.sin(angle)) * 2 + rng.uniform(0, 6))
        waves.append(np.sign(wave) if rng.random() < 0.4 else wave)
    mix = waves[0] * waves[1] if rng.random() < 0.5 else (waves[0] + waves[1]) / 2
    low, high = np.array(colour(rng), np.float32), np.array(colour(rng), np.float32)
    return Image.fromarray((low + (mix[..., None] + 1) / 2 * (high - low)).clip(0, 255).astype(np.uint8))


def outline(rng: Rng, size: int, radius: float) -> list[tuple[float, float]]:
    """Draw a closed smooth curve around a random centre: a circle bent by a few harmonics."""
    angle = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    bend = np.ones_like(angle)
    for k in range(1, int(rng.integers(2, 7))):
        bend += rng.normal(0, 0.35 / k) * np.cos(k * angle + rng.uniform(0, 6))
    squeeze, turn = rng.uniform(0.3, 1.0), rng.uniform(0, math.pi)
    u, v = radius * bend * np.cos(angle), squeeze * radius * bend * np.sin(angle)
    centre = rng.uniform(0.1, 0.9, 2) * size
    x = centre[0] + u * math.cos(turn) - v * math.sin(turn)
    y = centre[1] + u * math.sin(turn) + v * math.cos(turn)
    return list(zip(x.tolist(), y.tolist(), strict=True))


def leaves(rng: Rng, size: int) -> Image.Image:
    """Drop shapes onto one another, sizes drawn from a power law."""
    image = noise(rng, size)
    draw = ImageDraw.Draw(image)
    palette = [colour(rng) for _ in range(int(rng.integers(2, 9)))]
    for _ in range(int(rng.integers(15, 90))):
        radius = size * 0.03 * (1 - rng.random()) ** -0.6
        points = outline(rng, size, min(radius, size * 0.5))
        if rng.random() < 0.3:
            points = points[:: int(rng.integers(6, 17))]
        if len(points) > 2:
            draw.polygon(points, fill=palette[int(rng.integers(len(palette)))])
    return image


def drawing(rng: Rng, size: int) -> Image.Image:
    """Draw outlines and strokes, dark on light (one in five inverted), as a pencil would."""
    light, dark = int(rng.integers(225, 256)), int(rng.integers(0, 90))
    if rng.random() < 0.2:
        light, dark = dark, light
    image = Image.new("RGB", (size, size), (light, light, light))
    draw = ImageDraw.Draw(image)
    width = int(rng.integers(1, 4))
    for _ in range(int(rng.integers(2, 14))):
        points = outline(rng, size, size * rng.uniform(0.04, 0.45))
        if rng.random() < 0.4:
            points = points[: int(rng.integers(6, 40))]
        else:
            points = [*points, points[0]]
        draw.line(points, fill=(dark, dark, dark), width=width, joint="curve")
    return image


def fractal(rng: Rng, size: int) -> Image.Image:
    """Play the chaos game of a random iterated function system and colour how often each pixel was visited."""
    maps = [(rng.uniform(-0.75, 0.75, (2, 2)), rng.uniform(-1, 1, 2)) for _ in range(int(rng.integers(2, 5)))]
    points = rng.uniform(-1, 1, (400, 2))
    visited = []
    for step in range(80):
        choice = rng.integers(len(maps), size=len(points))
        moved = np.empty_like(points)
        for k, (matrix, shift) in enumerate(maps):
            moved[choice == k] = points[choice == k] @ matrix.T + shift
        points = moved.clip(-1e3, 1e3)
        if step > 10:
            visited.append(points)
    cloud = np.concatenate(visited)
    low, high = np.quantile(cloud, 0.01, axis=0), np.quantile(cloud, 0.99, axis=0)
    where = ((cloud - low) / np.maximum(high - low, 1e-6) * (size - 1)).astype(int)
    inside = ((where >= 0) & (where < size)).all(axis=1)
    count = np.zeros((size, size), np.float32)
    np.add.at(count, (where[inside, 1], where[inside, 0]), 1)
    shade = np.log1p(count) / max(1e-6, float(np.log1p(count).max()))
    back, front = np.array(colour(rng), np.float32), np.array(colour(rng), np.float32)
    return Image.fromarray((back + shade[..., None] * (front - back)).clip(0, 255).astype(np.uint8))


def blob(rng: Rng, size: int) -> Image.Image:
    """Draw one textured body in front of another texture: the plainest picture of a thing on a ground."""
    ground, body = plain(rng, size), plain(rng, size)
    mask = Image.new("L", (size, size), 0)
    ImageDraw.Draw(mask).polygon(outline(rng, size, size * rng.uniform(0.15, 0.4)), fill=255)
    ground.paste(body, (0, 0), mask)
    return ground


def plain(rng: Rng, size: int) -> Image.Image:
    """Draw a texture that fills the frame."""
    return (noise if rng.random() < 0.6 else gratings if rng.random() < 0.5 else leaves)(rng, size)


KINDS: tuple[Callable[[Rng, int], Image.Image], ...] = (noise, gratings, leaves, drawing, drawing, fractal, blob, blob)


def draw(rng: Rng, size: int) -> Image.Image:
    """Draw one image of a random kind."""
    return KINDS[int(rng.integers(len(KINDS)))](rng, size)
