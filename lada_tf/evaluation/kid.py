"""The kernel distance (KID)."""

import numpy as np

from lada_tf.errors import UserError
from lada_tf.evaluation import checks


def kernel_distance(
    real_features,
    generated_features,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 2020,
) -> tuple[float, float]:
    """KID: the unbiased squared MMD with a cubic kernel (Bińkowski et al. 2018).

    k(x, y) = (x·y/d + 1)³. The subsets are drawn as torch-fidelity draws them (without
    replacement, the first argument's before the second's, `RandomState(seed)`), so the
    two tools agree subset by subset. Computed in float64.

    Args:
        real_features: array (N, d).
        generated_features: array (M, d).
        subsets: number of random subsets.
        subset_size: images in each, at most N and M.
        seed: of the subsets.

    Returns:
        (mean, standard deviation) over the subsets. The mean may be slightly negative.

    Raises:
        UserError: fewer images than `subset_size`, NaN, or different widths.
    """
    if subset_size < 2 or subsets < 1:
        raise UserError("KID needs subsets >= 1 and subset_size >= 2")
    real = checks.as_features(real_features, "real_features", subset_size)
    generated = checks.as_features(
        generated_features, "generated_features", subset_size
    )
    checks.check_same_width(real, generated)
    random = np.random.RandomState(seed)
    estimates = [
        _squared_mmd(
            _draw(random, real, subset_size), _draw(random, generated, subset_size)
        )
        for _ in range(subsets)
    ]
    return float(np.mean(estimates)), float(np.std(estimates))


def _draw(random, features: np.ndarray, size: int) -> np.ndarray:
    return features[random.choice(len(features), size, replace=False)].astype(
        np.float64
    )


def _squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    size, width = x.shape

    def within(rows: np.ndarray) -> float:  # without the pairs of an image with itself
        kernel = (rows @ rows.T / width + 1) ** 3
        return (kernel.sum() - np.trace(kernel)) / (size * (size - 1))

    across = ((x @ y.T / width + 1) ** 3).mean()
    return within(x) + within(y) - 2 * across
