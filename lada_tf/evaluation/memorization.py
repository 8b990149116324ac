"""Test by features whether a generator copies its training images, in bounded memory.

- AuthPct (Alaa et al. 2022, arXiv:2102.08921) is the share of authentic images. These
  are farther from their nearest training image than that image is from its own nearest.
- C_T (Meehan et al. 2020, arXiv:2004.05675) compares the distances of generated and of
  held-out images to the training images.

Distances are blocks of matmuls. With N images on each side and d features, they take
about 4 N² d multiply-adds, and little more memory than the features.
"""

import dataclasses
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from scipy.cluster.vq import kmeans2, vq
from scipy.stats import mannwhitneyu

from lada_tf.evaluation.statistics import (
    BLOCK_ROWS,
    as_features,
    check_same_width,
    split_rows,
)

# Relative to the squared norms: above the rounding errors of float32 features.
TOLERANCE = 1e-10
MAX_CELLS = 10
IMAGES_PER_CELL = 100  # at least, of held-out images on average
MIN_IN_CELL = 20  # of held-out and generated images; other cells do not count
KMEANS_IMAGES = 10_000


@dataclasses.dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest training image of each of n images.

    Attributes:
        index: int64 (n,), index of the training image.
        distance: float64 (n,), L2 distance to it.
    """

    index: np.ndarray
    distance: np.ndarray


def nearest(
    points: ArrayLike,
    others: ArrayLike,
    own: np.ndarray | None = None,
    dtype: DTypeLike = np.float64,
) -> Nearest:
    """Find the nearest of `others` (m, ...) for each of `points` (n, ...).

    Args:
        points, others: arrays whose rows are compared by L2 distance.
        own: int (n,), a row of `others` to ignore for each point.
        dtype: arithmetic of the search. The returned distances are in float64.
    """
    points, others = _rows(points), _rows(others)
    index = np.zeros(len(points), np.int64)
    for start in range(0, len(points), BLOCK_ROWS):
        block = points[start : start + BLOCK_ROWS].astype(dtype)
        best = np.full(len(block), np.inf)
        for first in range(0, len(others), BLOCK_ROWS):
            # The squared norms of the points do not change which one is nearest.
            candidates = others[first : first + BLOCK_ROWS].astype(dtype)
            distances = block @ (-2 * candidates.T)
            distances += np.einsum("nd,nd->n", candidates, candidates)
            if own is not None:
                column = own[start : start + BLOCK_ROWS] - first
                [row] = np.nonzero((column >= 0) & (column < len(candidates)))
                distances[row, column[row]] = np.inf
            found = distances.argmin(axis=1)
            value = distances[np.arange(len(block)), found]
            part = index[start : start + BLOCK_ROWS]
            np.copyto(part, found + first, where=value < best)
            best = np.minimum(best, value)
    # From differences, so that equal rows have the distance 0.
    return Nearest(index, distances_of_pairs(points, others, index))


def distances_of_pairs(
    points: np.ndarray, others: np.ndarray, index: np.ndarray
) -> np.ndarray:
    """Return the L2 distance of each of `points` to the row `index` of `others`."""
    points, others = _rows(points), _rows(others)
    parts = [
        np.linalg.norm(points[rows].astype(np.float64) - others[index[rows]], axis=1)
        for rows in split_rows(np.arange(len(points)), BLOCK_ROWS)
    ]
    return np.concatenate(parts)


def authentic(
    real_features: ArrayLike, generated_features: ArrayLike
) -> tuple[np.ndarray, Nearest]:
    """Return which generated images are authentic. Their share is AuthPct.

    Args:
        real_features: array (N, d), N >= 2, of all training images.
        generated_features: array (M, d).

    Returns:
        bool (M,): whether an image is farther from its nearest training image than that
        training image is from its own nearest; and the nearest training images.

    Raises:
        UserError: too few images, NaN, or different widths.
    """
    real = as_features(real_features, "real_features")
    generated = as_features(generated_features, "generated_features", minimum=1)
    check_same_width(real, generated)
    found = nearest(generated, real)
    [used, position] = np.unique(found.index, return_inverse=True)
    parts = split_rows(used, BLOCK_ROWS)  # without a copy of all used features
    radius = np.concatenate([nearest(real[p], real, own=p).distance for p in parts])
    squared_norms = np.einsum("nd,nd->n", real, real)[used]  # makes no copy
    squared_radius = (radius**2 + TOLERANCE * squared_norms)[position]
    return found.distance**2 > squared_radius, found


def c_t(
    real_features: ArrayLike,
    held_out_features: ArrayLike,
    generated_features: ArrayLike,
    seed: int = 0,
) -> float | None:
    """Compute the data-copying statistic C_T.

    K-means splits the feature space into cells. In each, a Mann-Whitney test compares
    the distances of generated and of held-out images to the nearest training image of
    the cell. C_T is the mean z of the cells, weighted by their held-out images.

    Args:
        real_features: array (N, d), of the training images.
        held_out_features: array (M, d), of images of the same kind that training did
            not see.
        generated_features: array (K, d).
        seed: seed of k-means.

    Returns:
        About 0 if both are equally far from the training images, and far below 0 if
        generated images are nearer: below -3 is a sign of copies. None if no cell has
        20 images of both.

    Raises:
        UserError: too few images, NaN, or different widths.
    """
    real = as_features(real_features, "real_features")
    held_out = as_features(held_out_features, "held_out_features")
    generated = as_features(generated_features, "generated_features")
    check_same_width(real, held_out)
    check_same_width(real, generated)
    smaller = min(len(held_out), len(generated))
    num_cells = min(MAX_CELLS, max(1, smaller // IMAGES_PER_CELL))
    chosen = np.random.default_rng(seed).permutation(len(real))[:KMEANS_IMAGES]
    sample = real[chosen].astype(np.float32)
    # Duplicate images would start equal centers, which leave cells empty.
    starts = np.unique(sample[:num_cells], axis=0)
    centers = _kmeans(sample, starts)
    sets = (real, held_out, generated)
    cells = [_assign(features, centers) for features in sets]
    total, weights = 0.0, 0
    for cell in range(len(centers)):
        inside = [f[c == cell] for f, c in zip(sets, cells, strict=True)]
        if not len(inside[0]) or min(map(len, inside[1:])) < MIN_IN_CELL:
            continue
        weight = len(inside[1])
        total += weight * _z(*(nearest(x, inside[0]).distance for x in inside[1:]))
        weights += weight
    return total / weights if weights else None


def _kmeans(sample: np.ndarray, starts: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "One of the clusters is empty")
        return kmeans2(sample, starts, iter=20, minit="matrix")[0]


def _assign(features: np.ndarray, centers: np.ndarray) -> np.ndarray:
    parts = split_rows(features, BLOCK_ROWS)
    return np.concatenate([vq(part.astype(np.float32), centers)[0] for part in parts])


def _z(held_out: np.ndarray, generated: np.ndarray) -> float:
    """Return the z of the Mann-Whitney statistic: below 0 if `generated` is smaller."""
    m, n = len(generated), len(held_out)
    larger = mannwhitneyu(generated, held_out, method="asymptotic").statistic
    return float((larger - m * n / 2) / np.sqrt(m * n * (m + n + 1) / 12))


def _rows(array: Any) -> np.ndarray:
    array = np.asarray(array)
    return array.reshape(len(array), -1)
