"""Which pictures show the same: copies are found, other pictures are not, and no candidate is lost."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photographs import photo
from PIL import Image, ImageDraw
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter1d

from advisor.data import near_duplicates, pixels
from advisor.data.duplicates import FINE_RULE, FINE_TOLERANCE, RULE, TOLERANCE


def thumbnail(content: bytes | Image.Image) -> np.ndarray:
    if isinstance(content, Image.Image):
        content = encoded(content, "PNG")
    return pixels.decode(content, RULE)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


PHOTOS = [photo(n, (200, 160)) for n in range(30)]
THUMBNAILS = np.stack([thumbnail(p) for p in PHOTOS])


@pytest.mark.parametrize(
    "copy",
    [
        lambda p: encoded(p, "JPEG", quality=30),
        lambda p: encoded(p, "WEBP", quality=60),
        lambda p: encoded(p.resize((100, 80), Image.Resampling.LANCZOS), "JPEG"),
        lambda p: encoded(p.resize((290, 232), Image.Resampling.BICUBIC), "PNG"),
        lambda p: encoded(p.resize((133, 107)), "JPEG", quality=80),
        lambda p: encoded(p.point(lambda v: min(255, int(v * 1.05 + 6))), "JPEG"),
    ],
    ids=["jpeg 30", "webp", "half", "larger", "odd size", "brighter"],
)
def test_copies_lie_within_the_tolerance(copy: object) -> None:
    """Encoding again, resizing and brightening keep a photograph within the tolerance."""
    copies = np.stack([thumbnail(copy(p)) for p in PHOTOS])  # type: ignore[operator]
    assert np.all(near_duplicates.distances(THUMBNAILS, copies) < TOLERANCE)


def test_other_photographs_are_far_away() -> None:
    """Different patches of the same two photographs are not taken for copies."""
    assert len(near_duplicates.alike(THUMBNAILS, TOLERANCE)) == 0


@pytest.mark.parametrize("share", [0.1, 0.15, 0.25])
def test_another_object_in_the_same_scene_is_not_a_copy(share: float) -> None:
    """A small patch of something else (an animal before a camera trap, a fault on a part) makes another picture."""
    draws = np.random.default_rng(3)
    changed = []
    for picture, other in zip(PHOTOS, PHOTOS[1:] + PHOTOS[:1], strict=True):
        size = (int(picture.width * share), int(picture.height * share))
        corner = (int(draws.integers(0, picture.width - size[0])), int(draws.integers(0, picture.height - size[1])))
        changed.append(picture.copy())
        changed[-1].paste(other.resize(size), corner)
    fine = [np.stack([pixels.decode(encoded(p, "PNG"), FINE_RULE) for p in side]) for side in (PHOTOS, changed)]
    # A patch that happens to have the colours of what it covers cannot be told from a copy.
    assert near_duplicates.same(*fine, FINE_TOLERANCE).mean() <= 0.15
    copies = np.stack([pixels.decode(encoded(p, "JPEG", quality=40), FINE_RULE) for p in PHOTOS])
    assert near_duplicates.same(fine[0], copies, FINE_TOLERANCE).all()


def test_thousands_of_alike_pictures_do_not_make_millions_of_pairs() -> None:
    """Frames of a fixed camera: each is compared with its nearest ones only, and a copy is still found."""
    draws = np.random.default_rng(4)
    frames = np.repeat(THUMBNAILS[:1], 600, axis=0)
    noise = draws.integers(-3, 4, frames.shape)
    frames = np.clip(frames.astype(int) + noise, 0, 255).astype(np.uint8)
    pairs = near_duplicates.alike(frames, TOLERANCE)
    assert len(pairs) <= 600 * near_duplicates.NEAREST
    frames[123] = frames[456]
    assert [123, 456] in near_duplicates.alike(frames, TOLERANCE).tolist()


def test_line_drawings_are_not_taken_for_each_other() -> None:
    """Drawings that share a white ground and a few lines, on which a sign-bit hash agrees, are told apart."""
    draws = np.random.default_rng(0)
    drawings = []
    for _ in range(150):
        image = Image.new("RGB", (128, 128), "white")
        points = [tuple(p) for p in (64 + draws.normal(0, 22, (9, 2))).tolist()]
        ImageDraw.Draw(image).line(points, fill="black", width=2)
        drawings.append(thumbnail(image))
    assert len(near_duplicates.alike(np.stack(drawings), TOLERANCE)) == 0


def test_flat_pictures_are_never_compared() -> None:
    """Blank pages look alike and say nothing."""
    flat = np.stack([np.full((32, 32, 3), level, np.uint8) for level in (0, 128, 128, 255)])
    flat[1, 3, 3] += 2
    assert len(near_duplicates.alike(flat, TOLERANCE)) == 0


def test_pairs_are_those_of_comparing_all_with_all() -> None:
    """The search finds exactly the pairs that lie within the tolerance, sorted."""
    draws = np.random.default_rng(1)
    noisy = [np.clip(THUMBNAILS[n % 10] + draws.normal(0, n, (32, 32, 3)), 0, 255).astype(np.uint8) for n in range(40)]
    pictures = np.stack([*THUMBNAILS, *noisy])
    for tolerance in (0.05, 0.15, 0.5):
        expected = [
            (i, j)
            for i in range(len(pictures))
            for j in range(i + 1, len(pictures))
            if near_duplicates.distances(pictures[i : i + 1], pictures[j : j + 1])[0] <= tolerance
        ]
        assert [tuple(pair) for pair in near_duplicates.alike(pictures, tolerance).tolist()] == expected


def test_distances_are_those_of_blurred_standardised_pictures() -> None:
    """The cosine-domain distance equals blurring, centring and scaling in the plain domain."""

    def plain(picture: np.ndarray) -> np.ndarray:
        blurred = picture.astype(np.float64)
        for axis in (0, 1):
            blurred = gaussian_filter1d(blurred, 0.7, axis=axis, mode="reflect", truncate=8)
        blurred -= blurred.mean(axis=(0, 1))
        return blurred / np.linalg.norm(blurred)

    ours = near_duplicates.distances(THUMBNAILS[:8], THUMBNAILS[8:16])
    theirs = [np.linalg.norm(plain(a) - plain(b)) for a, b in zip(THUMBNAILS[:8], THUMBNAILS[8:16], strict=True)]
    # A sampled Gaussian of 0.7 pixels is not quite the continuous one.
    assert np.allclose(ours, theirs, atol=0.02)


def test_the_transform_is_the_orthonormal_cosine_transform() -> None:
    """Without the blur it would be scipy's; with it, each frequency is scaled by the same Gaussian."""
    spectrum = near_duplicates._spectrum(THUMBNAILS[:1])[0, 0]
    reference = dctn(THUMBNAILS[0, :, :, 0].astype(np.float64), norm="ortho")
    frequency = np.exp(-0.5 * np.square(np.pi * np.arange(32) * 0.7 / 32))
    expected = reference * np.outer(frequency, frequency)
    expected[0, 0] = 0
    assert np.allclose(spectrum, expected, atol=0.02)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), spread=st.floats(1, 60))
def test_the_hash_is_never_further_apart_than_the_pictures(seed: int, spread: float) -> None:
    """A projection shortens every distance, so no pair within the tolerance is missed."""
    draws = np.random.default_rng(seed)
    base = draws.integers(0, 256, (1, 32, 32, 3))
    pair = np.clip(base + draws.normal(0, spread, (2, 32, 32, 3)), 0, 255).astype(np.uint8)
    hashes, _ = near_duplicates.perceptual_hash(pair)
    assert np.linalg.norm(hashes[0] - hashes[1]) <= near_duplicates.distances(pair[:1], pair[1:])[0] + 1e-4


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_pictures_have_no_pairs(count: int) -> None:
    """Nothing to compare is not an error."""
    assert near_duplicates.alike(THUMBNAILS[:count], TOLERANCE).shape == (0, 2)


def test_many_points_are_searched_block_by_block() -> None:
    """More points than a block: the same pairs as comparing all with all."""
    points = np.random.default_rng(2).normal(size=(2500, 3)).astype(np.float32)
    squares = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    expected = {(i, j) for i, j in np.argwhere(squares <= 0.05**2 + 1e-4).tolist() if i < j}
    pairs = {tuple(sorted(pair)) for pair in near_duplicates.close_pairs(points, 0.05).tolist()}
    assert len(pairs ^ expected) <= 0.01 * len(expected)
