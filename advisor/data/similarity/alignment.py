"""Find the part of one image that another one shows: position and size of a crop, to a fraction of a pixel.

In: squares of both images and a first guess of the part. Out: the part that fits best, and the correlation there. Least
squares over left edge, top edge, width, height, contrast and brightness, by Gauss-Newton steps. Does NOT cover: rotations,
guesses (`crops`).
Source: B. D. Lucas and T. Kanade, "An iterative image registration technique with an application to stereo vision", 1981.
Legend: N pairs, S side, P = 4 parameters; a part is (left, top, width, height) in shares of the side.
"""

from __future__ import annotations

import numpy as np

from advisor.aliases import AnyArray

STEPS = 6
SMALLEST = 0.5  # share of the side; a smaller part is not aligned
_LONGEST_STEP = 0.06  # share of the side, so that one bad step does not leave the image
_PIXELS = 128 * 32 * 32  # of the squares that are aligned at once: about 40 MB


def align(
    first_NSS3: AnyArray, second_NSS3: AnyArray, parts_N4: AnyArray, steps: int = STEPS
) -> tuple[AnyArray, AnyArray]:
    """Return the parts of `first` that show `second`, (N, 4), and the correlation of the two there, (N,)."""
    parts, correlations = [np.empty((0, 4))], [np.empty(0)]
    at_once = max(1, _PIXELS // first_NSS3.shape[1] ** 2)
    for start in range(0, len(parts_N4), at_once):
        rows = slice(start, start + at_once)
        fitted, correlation = _aligned(first_NSS3[rows], second_NSS3[rows], parts_N4[rows], steps)
        parts.append(fitted)
        correlations.append(correlation)
    return np.concatenate(parts), np.concatenate(correlations)


def _aligned(first_NSS3: AnyArray, second_NSS3: AnyArray, parts_N4: AnyArray, steps: int) -> tuple[AnyArray, AnyArray]:
    side = first_NSS3.shape[1]
    first = np.ascontiguousarray(np.moveaxis(first_NSS3, 3, 1), dtype=np.float32)  # (N, 3, S, S)
    target = _centred(np.ascontiguousarray(np.moveaxis(second_NSS3, 3, 1), dtype=np.float32))
    parts = np.array(parts_N4, dtype=np.float32)
    best, best_correlation = parts.copy(), np.full(len(parts), -1.0, dtype=np.float32)
    centre = ((np.arange(side, dtype=np.float32) + 0.5) / side)[None, None, :]
    for step in range(steps + 1):
        across, across_slope = _samples(parts[:, 0], parts[:, 2], side)
        down, down_slope = _samples(parts[:, 1], parts[:, 3], side)
        lines = np.matmul(down[:, None], first)
        seen = np.matmul(lines, across[:, None].transpose(0, 1, 3, 2))  # (N, 3, S, S)
        correlation = _correlation(_centred(seen), target)
        better = correlation > best_correlation
        best[better], best_correlation[better] = parts[better], correlation[better]
        if step == steps:
            break
        along_x = np.matmul(lines, across_slope[:, None].transpose(0, 1, 3, 2)) * side
        along_y = np.matmul(np.matmul(down_slope[:, None], first), across[:, None].transpose(0, 1, 3, 2)) * np.float32(
            side
        )
        columns = (along_x, along_y, along_x * centre[..., None, :], along_y * centre[..., :, None], seen)
        parts = _bounded(parts, _step(columns, target))
    return best, best_correlation


def _step(columns: tuple[AnyArray, ...], target: AnyArray) -> AnyArray:
    """Return the change of the parts, (N, 4), that the linear least-squares problem asks for."""
    design = np.stack([_centred(column) for column in columns], axis=1)  # (N, P + 1, 3, S, S)
    flat = design.reshape(len(design), len(columns), -1).astype(np.float64)
    normal = np.matmul(flat, flat.transpose(0, 2, 1))
    normal += np.eye(len(columns)) * (1e-6 * np.trace(normal, axis1=1, axis2=2) / len(columns) + 1e-9)[:, None, None]
    right = np.matmul(flat, target.reshape(len(target), -1, 1).astype(np.float64))
    solution = np.linalg.solve(normal, right)[:, :, 0]
    contrast = np.where(np.abs(solution[:, 4]) > 0.1, solution[:, 4], 1.0)
    changes: AnyArray = np.clip(solution[:, :4] / contrast[:, None], -_LONGEST_STEP, _LONGEST_STEP)
    return changes.astype(np.float32)


def _bounded(parts: AnyArray, change: AnyArray) -> AnyArray:
    size = np.clip(parts[:, 2:] + change[:, 2:], SMALLEST, 1.0)
    corner = np.clip(parts[:, :2] + change[:, :2], 0.0, 1.0 - size)
    return np.concatenate((corner, size), axis=1)


def _samples(start: AnyArray, length: AnyArray, side: int) -> tuple[AnyArray, AnyArray]:
    """Return the linear interpolation that reads `side` points of a part of a line, and its slope, (N, S, S) each."""
    points = (start[:, None] + length[:, None] * (np.arange(side) + 0.5) / side) * side - 0.5
    points = np.clip(points, 0.0, side - 1.0)
    low = np.minimum(np.floor(points).astype(np.int64), side - 2)
    weight = (points - low).astype(np.float32)
    read = np.zeros((len(start), side, side), np.float32)
    slope = np.zeros_like(read)
    row, point = np.arange(len(start))[:, None], np.arange(side)[None, :]
    read[row, point, low], read[row, point, low + 1] = 1.0 - weight, weight
    slope[row, point, low], slope[row, point, low + 1] = -1.0, 1.0
    return read, slope


def _centred(images_N3SS: AnyArray) -> AnyArray:
    centred: AnyArray = images_N3SS - images_N3SS.mean(axis=(2, 3), keepdims=True)
    return centred


def _correlation(first: AnyArray, second: AnyArray) -> AnyArray:
    product = (first * second).sum(axis=(1, 2, 3))
    size = np.sqrt(np.square(first).sum(axis=(1, 2, 3)) * np.square(second).sum(axis=(1, 2, 3)))
    correlation: AnyArray = product / np.maximum(size, 1e-6)
    return correlation
