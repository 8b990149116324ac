"""Precision and recall, and density and coverage, in bounded memory.

The manifold of a set is the union of balls around its features. The radius of a ball is
the distance to the k-th nearest neighbor in the same set. Precision is the share of
generated features inside the real manifold; recall is the share of real features inside
the generated manifold (Kynkäänniemi et al. 2019).

Density and coverage (Naeem et al. 2020) use the real balls only. Density is the number
of balls around a generated feature, divided by k; coverage is the share of balls with a
generated feature inside. They are less sensitive to outliers.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from lada_tf.errors import UserError
from lada_tf.evaluation.statistics import as_features, check_same_width

BLOCK_ROWS = 2048  # a block of distances has at most 2048 x 2048 entries
ADM_BLOCK_ROWS = 10_000
# Relative to the squared norms: above the rounding errors of float64 distances (1e-15),
# below those due to float32 features.
TOLERANCE = 1e-12


def precision_recall(
    real_features: ArrayLike,
    generated_features: ArrayLike,
    nearest_k: int = 3,
    arithmetic: str = "float64",
) -> tuple[float, float]:
    """Compute improved precision and recall.

    As in the reference code and the guided-diffusion (ADM) evaluator, distances are
    squared L2, the k-th neighbor does not count the feature itself, and the border
    belongs to the ball.

    Args:
        real_features: array (N, d), N > nearest_k; cast to float32.
        generated_features: array (M, d), M > nearest_k; cast to float32.
        nearest_k: the radius is the distance to this neighbor; the papers use 3.
        arithmetic: "float64" or "adm_float16". The latter computes distances in float16
            as ADM does. Scores published with ADM include its rounding error (up to
            0.05), so compare only scores of the same arithmetic.

    Returns:
        (precision, recall), each in [0, 1].

    Raises:
        UserError: too few images, NaN, different widths, or an unknown `arithmetic`.
    """
    if nearest_k < 1:
        raise UserError(f"nearest_k={nearest_k} must be at least 1")
    real = _as_float32(real_features, "real_features", nearest_k)
    generated = _as_float32(generated_features, "generated_features", nearest_k)
    check_same_width(real, generated)
    if arithmetic == "float64":
        distances, tolerance, block_rows = _float64_distances, TOLERANCE, BLOCK_ROWS
    elif arithmetic == "adm_float16":
        distances, tolerance, block_rows = _adm_distances, 0, ADM_BLOCK_ROWS
    else:
        raise UserError(f"arithmetic={arithmetic!r} must be float64 or adm_float16")

    real_radii = _squared_radii(real, nearest_k, distances, block_rows)
    generated_radii = _squared_radii(generated, nearest_k, distances, block_rows)
    # Rounding must not move a feature on the border of a ball outside it. This matters
    # for duplicates, whose radius can be 0.
    real_radii += tolerance * (real_radii + _squared_norms(real))
    generated_radii += tolerance * (generated_radii + _squared_norms(generated))

    real_inside = np.zeros(len(real), bool)
    generated_inside = np.zeros(len(generated), bool)
    for rows in _blocks(real, block_rows):
        for columns in _blocks(generated, block_rows):
            block = distances(real[rows], generated[columns])
            generated_inside[columns] |= (block <= real_radii[rows, None]).any(axis=0)
            real_inside[rows] |= (block <= generated_radii[columns]).any(axis=1)
    return float(generated_inside.mean()), float(real_inside.mean())


def density_coverage(
    real_features: ArrayLike, generated_features: ArrayLike, nearest_k: int = 5
) -> tuple[float, float]:
    """Compute density and coverage.

    As in the authors' package `prdc`, distances are L2, the k-th neighbor does not
    count the feature itself, and the border does not belong to the ball. Computed in
    float64.

    Args:
        real_features: array (N, d), N > nearest_k.
        generated_features: array (M, d), M >= 1.
        nearest_k: the radius is the distance to this neighbor; the paper uses 5.

    Returns:
        (density, coverage). Density can exceed 1; coverage is in [0, 1].

    Raises:
        UserError: too few images, NaN, or different widths.
    """
    if nearest_k < 1:
        raise UserError(f"nearest_k={nearest_k} must be at least 1")
    real = as_features(real_features, "real_features", nearest_k + 1)
    generated = as_features(generated_features, "generated_features", 1)
    check_same_width(real, generated)
    radii = _squared_radii(real, nearest_k, _float64_distances, BLOCK_ROWS)
    radii -= TOLERANCE * (radii + _squared_norms(real))  # no border by rounding
    inside, covered = 0, np.zeros(len(real), bool)
    for rows in _blocks(real, BLOCK_ROWS):
        for columns in _blocks(generated, BLOCK_ROWS):
            block = _float64_distances(real[rows], generated[columns])
            is_inside = block < radii[rows, None]
            inside += int(np.count_nonzero(is_inside))
            covered[rows] |= is_inside.any(axis=1)
    return inside / (nearest_k * len(generated)), float(covered.mean())


def _as_float32(features: ArrayLike, name: str, nearest_k: int) -> np.ndarray:
    features = as_features(features, name, minimum=nearest_k + 1)
    return as_features(features.astype(np.float32, copy=False), name)


def _squared_radii(
    features: np.ndarray, nearest_k: int, distances: Callable, block_rows: int
) -> np.ndarray:
    """Return the squared distance (N,) from each feature to its k-th neighbor."""
    radii = np.empty(len(features))
    for rows in _blocks(features, block_rows):
        nearest = np.empty((len(features[rows]), 0), np.float32)
        for columns in _blocks(features, block_rows):
            block = distances(features[rows], features[columns])
            nearest = np.concatenate([nearest, block], axis=1)
            nearest.partition(min(nearest_k, nearest.shape[1] - 1), axis=1)
            nearest = nearest[:, : nearest_k + 1]  # includes the feature itself
        radii[rows] = nearest.max(axis=1)
    return radii


def _blocks(features: np.ndarray, block_rows: int) -> list[slice]:
    starts = range(0, len(features), block_rows)
    return [slice(start, start + block_rows) for start in starts]


def _squared_norms(features: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", features, features, dtype=np.float64)


def _float64_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return squared distances (n, m) between features (n, d) and (m, d)."""
    distances = (-2 * first.astype(np.float64)) @ second.T.astype(np.float64)
    distances += _squared_norms(first)[:, None]
    distances += _squared_norms(second)
    return distances


def _adm_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return distances rounded to float16 at each step, or float32 if they overflow."""
    import tensorflow as tf  # slow to import and only needed here

    for dtype in (tf.float16, tf.float32):
        a, b = tf.cast(first, dtype), tf.cast(second, dtype)
        a_norms = tf.reduce_sum(tf.square(a), axis=1)[:, None]
        b_norms = tf.reduce_sum(tf.square(b), axis=1)
        distances = a_norms - 2 * tf.matmul(a, b, transpose_b=True) + b_norms
        distances = tf.maximum(distances, 0)
        if tf.reduce_all(tf.math.is_finite(distances)):
            break
    return tf.cast(distances, tf.float32).numpy()
