"""Find pairs of thumbnails that show the same image, regardless of encoding, size, brightness and contrast.

Two images are compared as unit vectors: slightly blurred (resampling changes only the finest detail), mean and contrast
removed, so that a distance d is a correlation of 1 - d^2/2. Candidates come from a perceptual hash, the low frequencies
of the grey image as real numbers: a projection never increases distances. A difference concentrated in one region is
another object in the same scene (camera traps, defects on a part), not another encoding. Does NOT cover: crops, flips,
rotations; flat images, which have nothing to compare.
Legend: N images, S side, F frequencies. The blur is a product in the cosine domain, with mirrored edges.
"""

from __future__ import annotations

import numpy as np

from advisor.aliases import AnyArray

FLAT = 4.0  # grey levels; an image with less contrast is not compared
PEAK = 0.3  # largest local difference in units of contrast, and ...
CONCENTRATED = 4.8  # ... over the whole difference: re-encoded and resized copies reach 4, a pasted object 6 to 9
NEAREST = 16  # candidates per image; thousands of similar images must not make millions of pairs
_BLUR = 0.7  # standard deviation in thumbnail pixels
_WINDOW = 1.5 / 32  # standard deviation of the window that defines one region, share of the side
_LOW = 6  # frequencies per axis in the hash
_ROWS = 256


def alike(images_NSS3: AnyArray, tolerance: float) -> AnyArray:
    """Find the pairs (i, j), i < j, of uint8 thumbnails whose distance is at most `tolerance` (unrelated: 1.41).

    For an image with very many similar ones, only the nearest by hash are compared.
    """
    hashes_NF, contrast_N = perceptual_hash(images_NSS3)
    lively = np.flatnonzero(contrast_N >= FLAT)
    candidates = np.sort(lively[close_pairs(hashes_NF[lively], tolerance)], axis=1)
    close = [np.empty((0, 2), np.int64)]
    for start in range(0, len(candidates), _ROWS):
        pairs = candidates[start : start + _ROWS]
        close.append(pairs[distances(images_NSS3[pairs[:, 0]], images_NSS3[pairs[:, 1]]) <= tolerance])
    sorted_pairs = np.concatenate(close)
    return sorted_pairs[np.lexsort((sorted_pairs[:, 1], sorted_pairs[:, 0]))]


def same(first_NSS3: AnyArray, second_NSS3: AnyArray, tolerance: float) -> AnyArray:
    """Return for each pair, (N,) bool, whether both show one image: close, without a difference in one region."""
    matches = [np.empty(0, bool)]
    for start in range(0, len(first_NSS3), _ROWS):
        rows = slice(start, start + _ROWS)
        residual_N3FF = _unit(_spectrum(first_NSS3[rows]))[0] - _unit(_spectrum(second_NSS3[rows]))[0]
        whole = np.sqrt(np.square(residual_N3FF).sum(axis=(1, 2, 3)))
        basis = _basis(first_NSS3.shape[1])
        power = np.square(np.matmul(np.matmul(basis.T, residual_N3FF), basis)).sum(axis=1) * basis.size
        window = basis.T @ (_gaussian(len(basis), _WINDOW * len(basis))[:, None] * basis)
        peak = np.sqrt(np.maximum(0.0, np.matmul(np.matmul(window, power), window.T)).max(axis=(1, 2)))
        concentrated = (peak > PEAK) & (peak > CONCENTRATED * whole)
        matches.append((whole <= tolerance) & ~concentrated)
    return np.concatenate(matches)


def distances(first_NSS3: AnyArray, second_NSS3: AnyArray) -> AnyArray:
    """Return the distance of each image of `first` from its counterpart in `second`, (N,)."""
    first, second = (_unit(_spectrum(images))[0] for images in (first_NSS3, second_NSS3))
    gaps: AnyArray = np.sqrt(np.square(first - second).sum(axis=(1, 2, 3)))
    return gaps


def perceptual_hash(images_NSS3: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Hash (N, F) with distances that never exceed those of `distances`, and the contrast (N,) in grey levels."""
    hashes, contrasts = [np.empty((0, _LOW * _LOW), np.float32)], [np.empty(0, np.float32)]
    for start in range(0, len(images_NSS3), _ROWS):
        unit_N3FF, contrast = _unit(_spectrum(images_NSS3[start : start + _ROWS]))
        low = unit_N3FF[:, :, :_LOW, :_LOW].sum(axis=1).reshape(len(unit_N3FF), -1)[:, 1:] / np.float32(np.sqrt(3))
        # The energy outside of the hash is one more number on which equal images agree.
        rest = np.sqrt(np.maximum(0.0, 1.0 - np.square(low).sum(axis=1, keepdims=True)))
        hashes.append(np.concatenate((low, rest), axis=1))
        contrasts.append(contrast)
    return np.concatenate(hashes), np.concatenate(contrasts)


def close_pairs(points_NF: AnyArray, radius: float, nearest: int = NEAREST) -> AnyArray:
    """Return pairs of points within `radius`, unsorted: sorted along the first principal axis, compared in blocks.

    Each point is paired with at most its `nearest` ones among those that follow it on that axis.
    """
    if len(points_NF) < 2:
        return np.empty((0, 2), np.int64)
    centred = (points_NF - points_NF.mean(axis=0)).astype(np.float32)
    _, directions = np.linalg.eigh(centred.T @ centred)
    along = centred @ directions[:, -1]
    order = np.argsort(along, kind="stable")
    points, along = centred[order], along[order]
    squares = np.square(points).sum(axis=1)
    limit = radius * radius + 1e-4  # float32 products of unit-size vectors
    pairs = [np.empty((0, 2), np.int64)]
    for start in range(0, len(points), _ROWS):
        stop = min(start + _ROWS, len(points))
        end = int(np.searchsorted(along, along[stop - 1] + np.sqrt(limit), side="right"))
        gaps = points[start:stop] @ points[start:end].T
        gaps *= -2.0
        gaps += squares[start:stop, None]
        gaps += squares[None, start:end]
        i, j = np.nonzero(gaps <= limit)
        i, j = i[j > i], j[j > i]
        i, j = _nearest(i, j, gaps, nearest)
        pairs.append(np.stack((order[start + i], order[start + j]), axis=1))
    return np.concatenate(pairs)


def _nearest(i: AnyArray, j: AnyArray, gaps: AnyArray, most: int) -> tuple[AnyArray, AnyArray]:
    """Return, of the pairs (i, j), for each i the `most` with the smallest gap."""
    if len(i) == 0 or np.bincount(i).max() <= most:
        return i, j
    order = np.lexsort((gaps[i, j], i))
    i, j = i[order], j[order]
    rank = np.arange(len(i)) - np.searchsorted(i, i)
    return i[rank < most], j[rank < most]


def _basis(side: int) -> AnyArray:
    """Return the orthonormal cosine basis (F, S)."""
    position = np.arange(side)
    basis: AnyArray = np.sqrt(2.0 / side) * np.cos(np.pi * np.outer(position, 2 * position + 1) / (2 * side))
    basis[0] /= np.sqrt(2.0)
    return basis.astype(np.float32)


def _gaussian(side: int, deviation_px: float) -> AnyArray:
    """Return the factor of a Gaussian blur per frequency, (F,)."""
    frequency = np.pi * np.arange(side) / side
    factors: AnyArray = np.exp(-0.5 * np.square(frequency * deviation_px)).astype(np.float32)
    return factors


def _spectrum(images_NSS3: AnyArray) -> AnyArray:
    """Return the blurred cosine transform (N, 3, F, F) without the means."""
    side = images_NSS3.shape[1]
    basis = _basis(side) * _gaussian(side, _BLUR)[:, None]
    planes = np.ascontiguousarray(np.moveaxis(images_NSS3, 3, 1), dtype=np.float32)  # (N, 3, S, S)
    spectrum: AnyArray = np.matmul(np.matmul(basis, planes), basis.T)
    spectrum[:, :, 0, 0] = 0.0
    return spectrum


def _unit(spectrum_N3FF: AnyArray) -> tuple[AnyArray, AnyArray]:
    size = np.sqrt(np.square(spectrum_N3FF).sum(axis=(1, 2, 3)))
    contrast = size / np.sqrt(np.prod(spectrum_N3FF.shape[1:]))
    return spectrum_N3FF / np.maximum(size, 1e-6)[:, None, None, None], contrast
