"""Find crops and mirror images: pairs of which one shows a part of the other, or its mirror image.

In: 32-pixel thumbnails of all images, and the files. Out: pairs and how they differ. Candidates are parts on a coarse grid,
with and without a mirror, whose low frequencies resemble those of another whole image; each is aligned on the thumbnails
(`alignment`), then on larger squares, and judged like a near-duplicate (`near_duplicates.same`) on what both show. Does NOT
cover: parts of less than 70 % of the area, rotations, two crops of one image of which neither holds the other.
Legend: N images, S side, F frequencies; a part is (left, top, width, height) in shares of the side.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from advisor.aliases import AnyArray
from advisor.data import near_duplicates
from advisor.data.similarity import alignment

CODE = 1  # increment when the same images would give other pairs
MOST_IMAGES = 10_000  # above, only mirror images are searched: the comparisons grow with the square
SMALLEST_AREA = 0.66  # of a part, with some room for what the alignment gets wrong
LARGEST_AREA = 0.985  # of a part that is not mirrored; above, it is no crop
SIMILAR = 0.93  # correlation of low frequencies, of a part on the grid with the whole other image
ALIGNED = 0.93  # correlation of thumbnails after the alignment
LARGE_PX = 128
SMALLEST_PX = (
    80  # side of a whole; of the 600 digits of the demo, at 64, 2,790 pairs had to be confirmed, which took minutes
)
SMALLEST_PART_PX = round(
    SMALLEST_AREA * SMALLEST_PX
)  # side of what may be a part; a crop of the smallest whole can be that small
TOLERANCE = 0.2  # distance on squares of half of that side; as for near-duplicates
NEAREST = 3  # candidates per part of an image
MOST_PER_IMAGE = 8
# Images for each second of a budget up to which crops are searched for: 2 to 4 ms per image, so at most about 4 %.
IMAGES_PER_S = 10
PAIRS_PER_S = 2  # for each second of a budget, compared on large squares: 28 ms each
WHOLE = [(0.0, 0.0, 1.0, 1.0)]
_LOW = 6
_ROWS = 512
_BLUR = 0.7 / 32


@dataclass(frozen=True)
class Extent:
    """How much is searched: `parts`, or only whole mirror images; and how many pairs are compared on large squares.

    The best aligned ones come first, at 28 ms each: images that all look alike, such as scans or digits, have thousands.
    """

    parts: bool = True
    most_pairs: int = 3_000


def extent_within(images: int, budget_s: float | None) -> Extent:
    """Return how far a budget lets so many images be searched, by fixed paces; the whole search where there is none."""
    if budget_s is None:
        return Extent()
    parts = images <= IMAGES_PER_S * budget_s
    return Extent(parts=parts, most_pairs=min(Extent().most_pairs, int(PAIRS_PER_S * budget_s)))


@dataclass(frozen=True)
class Search:
    """What was found, (whole, part, mirrored) for each pair, and what limited it.

    `parts` is False where only mirror images were searched; `aligned` counts the pairs of which at most as many as the extent
    allows were compared on large squares.
    """

    pairs: tuple[tuple[int, int, bool], ...]
    parts: bool
    aligned: int

    def is_whole(self, extent: Extent) -> bool:
        """Return True if a search of this extent finds just this: neither was cut short."""
        return self.parts and extent.parts and self.aligned <= extent.most_pairs


Squares = Callable[[AnyArray], AnyArray]  # rows -> (M, LARGE_PX, LARGE_PX, 3) uint8


def parts_grid() -> list[tuple[float, float, float, float]]:
    """Return the parts that are compared: the whole, then squares of the square and bands of two sizes."""
    parts = list(WHOLE)
    for size in (0.925, 0.85):
        offsets = (0.0, (1 - size) / 2, 1 - size)
        parts += [(x, y, size, size) for x, y in itertools.product(offsets, offsets)]
    for size in (0.87, 0.75):
        offsets = (0.0, (1 - size) / 2, 1 - size)
        parts += [(x, 0.0, size, 1.0) for x in offsets] + [(0.0, y, 1.0, size) for y in offsets]
    return parts


def search(
    thumbnails_NSS3: AnyArray, squares: Squares, whole_N: AnyArray, part_N: AnyArray, extent: Extent = Extent()
) -> Search:
    """Find (whole, part, mirrored) for all pairs of which the second shows a part, or the mirror image, of the first.

    `part_N` says which images may be the second (large enough, not flat), `whole_N` which of these may be the first. Above
    `MOST_IMAGES` only whole mirror images are searched for, whatever the extent.
    """
    rows = np.flatnonzero(part_N)
    wholes = np.flatnonzero(whole_N[rows])
    parts = extent.parts and len(rows) <= MOST_IMAGES
    grid = parts_grid() if parts else WHOLE
    first, second, fitted, mirrored = _candidates(thumbnails_NSS3[rows], wholes, grid)
    first, second = rows[first], rows[second]
    small = _flipped(thumbnails_NSS3[first], mirrored)
    fitted, correlation = alignment.align(small, thumbnails_NSS3[second], fitted)
    area = fitted[:, 2] * fitted[:, 3]
    close = (correlation >= ALIGNED) & (area >= SMALLEST_AREA) & (mirrored | (area <= LARGEST_AREA + 0.01))
    best = np.flatnonzero(close)[np.argsort(-correlation[close], kind="stable")[: extent.most_pairs]]
    first, second, fitted, mirrored = first[best], second[best], fitted[best], mirrored[best]
    confirmed, fitted = _confirmed(squares, first, second, fitted, mirrored)
    area = fitted[:, 2] * fitted[:, 3]
    confirmed &= (area >= SMALLEST_AREA) & (mirrored | (area <= LARGEST_AREA))
    chosen = np.flatnonzero(confirmed)
    pairs = {(int(first[k]), int(second[k]), bool(mirrored[k])) for k in chosen}
    return Search(pairs=tuple(sorted(pairs)), parts=parts, aligned=int(close.sum()))


def _confirmed(
    squares: Squares, first: AnyArray, second: AnyArray, parts: AnyArray, mirrored: AnyArray
) -> tuple[AnyArray, AnyArray]:
    """Align again on larger squares, and return for each pair whether both show the same there, and the parts."""
    if not len(first):
        return np.zeros(0, bool), parts
    rows, positions = np.unique(np.stack((first, second)), return_inverse=True)
    large = squares(rows)
    first_row, second_row = positions.reshape(2, -1)
    confirmed, fitted = [], []
    for start in range(0, len(first), 128):
        chunk = slice(start, start + 128)
        whole = _flipped(large[first_row[chunk]], mirrored[chunk])
        other = large[second_row[chunk]]
        part, _ = alignment.align(_halved(whole), _halved(other), parts[chunk], steps=4)
        part, _ = alignment.align(whole, other, part, steps=3)
        cut = _cut(whole, part)
        confirmed.append(near_duplicates.same(cut, _cut_whole(other), TOLERANCE))
        fitted.append(part)
    return np.concatenate(confirmed), np.concatenate(fitted)


def _candidates(
    images_NSS3: AnyArray, wholes: AnyArray, grid: list[tuple[float, float, float, float]]
) -> tuple[AnyArray, AnyArray, AnyArray, AnyArray]:
    """Return (row, other row, part, mirrored) of the pairs to align, the best part of each pair and view.

    Parts of the images in the rows `wholes` are compared with all images.
    """
    grey_NSS = images_NSS3.astype(np.float32).mean(axis=3)
    whole_NF = _low_frequencies(grey_NSS, (0.0, 0.0, 1.0, 1.0))
    divided_NSS = grey_NSS[wholes]
    sign = np.where(np.arange(_LOW) % 2, -1.0, 1.0)  # a mirror image changes the sign of the odd frequencies across
    signs = np.tile(sign, _LOW)[1:].astype(np.float32)
    best: dict[tuple[int, int, bool], tuple[float, int]] = {}
    for number, part in enumerate(grid):
        queries = whole_NF[wholes] if number == 0 else _low_frequencies(divided_NSS, part)
        for mirrored in (False, True) if number else (True,):
            # The part of the mirrored image is the mirrored part: the alignment begins there.
            for i, j, likeness in zip(
                *_most_alike(queries * signs if mirrored else queries, wholes, whole_NF), strict=True
            ):
                key = (i, j, mirrored)
                if likeness > best.get(key, (-1.0, 0))[0]:
                    best[key] = (likeness, number)
    return _listed(best, grid)


def _listed(
    best: dict[tuple[int, int, bool], tuple[float, int]], grid: list[tuple[float, float, float, float]]
) -> tuple[AnyArray, AnyArray, AnyArray, AnyArray]:
    ranked = sorted(best.items(), key=lambda entry: (entry[0][0], -entry[1][0], entry[0]))
    used: dict[int, int] = {}
    rows, others, parts, mirrors = [], [], [], []
    for (i, j, mirrored), (_, number) in ranked:
        used[i] = used.get(i, 0) + 1
        if used[i] > MOST_PER_IMAGE:
            continue
        left, top, width, height = grid[number]
        rows.append(i)
        others.append(j)
        parts.append((1.0 - left - width if mirrored else left, top, width, height))
        mirrors.append(mirrored)
    return (
        np.array(rows, dtype=np.int64),
        np.array(others, dtype=np.int64),
        np.array(parts, dtype=np.float64).reshape(-1, 4),
        np.array(mirrors, dtype=bool),
    )


def _most_alike(
    queries_NF: AnyArray, queried: AnyArray, whole_NF: AnyArray
) -> tuple[list[int], list[int], list[float]]:
    """Return (row, other row, correlation) of the `NEAREST` other images of each query that are similar enough.

    `queried` holds the row of each query among the images.
    """
    rows, others, likeness = [], [], []
    for start in range(0, len(queries_NF), _ROWS):
        products = queries_NF[start : start + _ROWS] @ whole_NF.T
        own = np.arange(len(products))
        products[own, queried[start + own]] = -1.0
        for _ in range(NEAREST):
            nearest = products.argmax(axis=1)
            value = products[own, nearest]
            good = np.flatnonzero(value >= SIMILAR)
            if not len(good):
                break
            rows += queried[start + good].tolist()
            others += nearest[good].tolist()
            likeness += value[good].tolist()
            products[own, nearest] = -1.0
    return rows, others, likeness


def _low_frequencies(grey_NSS: AnyArray, part: tuple[float, float, float, float]) -> AnyArray:
    """Return the low frequencies of a part of each image without mean and contrast, (N, F) of unit length."""
    left, top, width, height = part
    side = grey_NSS.shape[1]
    across, down = _windowed_basis(side, left, width), _windowed_basis(side, top, height)
    low = np.matmul(np.matmul(down, grey_NSS), across.T).reshape(len(grey_NSS), -1)[:, 1:]
    size = np.sqrt(np.square(low).sum(axis=1, keepdims=True))
    unit: AnyArray = (low / np.maximum(size, 1e-6)).astype(np.float32)
    return unit


def _windowed_basis(side: int, start: float, length: float) -> AnyArray:
    """Return the cosine basis (F, S) of the part of a line, with pixels on its edges counted by their share."""
    edges = np.arange(side + 1) / side
    share = np.clip(np.minimum(edges[1:], start + length) - np.maximum(edges[:-1], start), 0.0, None) * side
    position = ((edges[1:] + edges[:-1]) / 2 - start) / length
    frequency = np.arange(_LOW)[:, None]
    basis: AnyArray = np.cos(np.pi * frequency * position) * share * np.sqrt(np.where(frequency == 0, 1.0, 2.0))
    return (basis / length).astype(np.float32)


def _flipped(images_NSS3: AnyArray, mirrored_N: AnyArray) -> AnyArray:
    flipped: AnyArray = np.where(mirrored_N[:, None, None, None], images_NSS3[:, :, ::-1], images_NSS3)
    return flipped


def _halved(images_NSS3: AnyArray) -> AnyArray:
    n, side = images_NSS3.shape[:2]
    halved: AnyArray = images_NSS3.reshape(n, side // 2, 2, side // 2, 2, 3).mean(axis=(2, 4))
    return halved


def _cut(images_NSS3: AnyArray, parts_N4: AnyArray) -> AnyArray:
    """Return the part of each image, resized to half of the side."""
    from PIL import Image

    side = images_NSS3.shape[1]
    cut = []
    for image, (left, top, width, height) in zip(images_NSS3, parts_N4.tolist(), strict=True):
        box = (left * side, top * side, min(side, (left + width) * side), min(side, (top + height) * side))
        small = Image.fromarray(image).resize((side // 2, side // 2), Image.Resampling.BILINEAR, box=box)
        cut.append(np.asarray(small))
    return np.stack(cut)


def _cut_whole(images_NSS3: AnyArray) -> AnyArray:
    return _cut(images_NSS3, np.tile([0.0, 0.0, 1.0, 1.0], (len(images_NSS3), 1)))
