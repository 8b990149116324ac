"""Precision and recall in half precision, as guided-diffusion's evaluator ships it."""

import numpy as np
import tensorflow as tf

BLOCK = 10_000


def precision_recall(
    real: np.ndarray, generated: np.ndarray, nearest_k: int
) -> tuple[float, float]:
    """See `lada_tf.evaluation.precision_recall`; float32 arrays (N, d), (M, d)."""
    real_radii = _radii(real, nearest_k)
    generated_radii = _radii(generated, nearest_k)
    generated_inside = np.zeros(len(generated), bool)
    real_inside = np.zeros(len(real), bool)
    for rows in _blocks(real):
        for columns in _blocks(generated):
            distances = _squared_distances(real[rows], generated[columns])
            generated_inside[columns] |= (distances <= real_radii[rows, None]).any(0)
            real_inside[rows] |= (distances <= generated_radii[columns]).any(1)
    return float(generated_inside.mean()), float(real_inside.mean())


def _radii(features: np.ndarray, nearest_k: int) -> np.ndarray:
    radii = np.empty(len(features), np.float32)
    for rows in _blocks(features):
        # The nearest of each block suffice for the nearest of all.
        nearest = [
            np.partition(distances, min(nearest_k, distances.shape[1] - 1), axis=1)[
                :, : nearest_k + 1
            ]
            for columns in _blocks(features)
            for distances in [_squared_distances(features[rows], features[columns])]
        ]
        radii[rows] = np.sort(np.concatenate(nearest, axis=1), axis=1)[:, nearest_k]
    return radii


def _squared_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """float16 distances (n, m) as float32; all float32 where float16 overflows."""
    half = _expand(tf.cast(first, tf.float16), tf.cast(second, tf.float16))
    if not tf.reduce_all(tf.math.is_finite(half)):
        return _expand(tf.constant(first), tf.constant(second)).numpy()
    return tf.cast(half, tf.float32).numpy()


def _expand(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """max(‖a‖² - 2ab + ‖b‖², 0), every step rounded to the arguments' dtype."""
    first_norms = tf.reduce_sum(tf.square(first), axis=1)[:, None]
    second_norms = tf.reduce_sum(tf.square(second), axis=1)[None, :]
    product = tf.matmul(first, second, transpose_b=True)
    return tf.maximum(first_norms - 2 * product + second_norms, 0)


def _blocks(features: np.ndarray) -> list[slice]:
    return [slice(start, start + BLOCK) for start in range(0, len(features), BLOCK)]
