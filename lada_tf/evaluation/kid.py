"""The kernel distance (KID)."""

import numpy as np
from numpy.typing import ArrayLike

from lada_tf.errors import UserError
from lada_tf.evaluation.statistics import as_features, check_same_width


def kernel_distance(
    real_features: ArrayLike,
    generated_features: ArrayLike,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 2020,
) -> tuple[float, float]:
    """Compute the kernel Inception distance, KID (Bińkowski et al. 2018).

    KID is the unbiased squared MMD with the kernel k(x, y) = (x·y/d + 1)³, computed in
    float64. The random subsets equal those of torch-fidelity: `RandomState(seed)`,
    without replacement, and each real subset before its generated one.

    Args:
        real_features: array (N, d).
        generated_features: array (M, d).
        subsets: number of random subsets.
        subset_size: images per subset, at most N and M.
        seed: seed of the subsets.

    Returns:
        (mean, standard deviation) over the subsets. The mean can be slightly negative.

    Raises:
        UserError: fewer images than `subset_size`, NaN, or different widths.
    """
    if subsets < 1:
        raise UserError(f"subsets={subsets} must be at least 1")
    if subset_size < 2:
        raise UserError(f"subset_size={subset_size} must be at least 2")
    real = as_features(real_features, "real_features", subset_size)
    generated = as_features(generated_features, "generated_features", subset_size)
    check_same_width(real, generated)
    random = np.random.RandomState(seed)

    def sample(features: np.ndarray) -> np.ndarray:
        indices = random.choice(len(features), subset_size, replace=False)
        return features[indices].astype(np.float64)

    estimates = [_squared_mmd(sample(real), sample(generated)) for _ in range(subsets)]
    return float(np.mean(estimates)), float(np.std(estimates))


def _squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    size, width = x.shape

    def within(rows: np.ndarray) -> float:  # excludes pairs of an image with itself
        kernel = (rows @ rows.T / width + 1) ** 3
        return (kernel.sum() - np.trace(kernel)) / (size * (size - 1))

    across = ((x @ y.T / width + 1) ** 3).mean()
    return within(x) + within(y) - 2 * across
