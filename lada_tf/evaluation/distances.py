"""The Fréchet distance and the kernel distance (KID) of two sets of features.

The Fréchet distance needs no matrix square root:

    ‖μ₁-μ₂‖² + tr C₁ + tr C₂ - 2 tr (C₁C₂)^½        (Dowson and Landau 1982)

For any roots Cᵢ = RᵢᵀRᵢ the last trace is the sum of the singular values of R₁R₂ᵀ. This
sum is always real and non-negative. The fastest accurate root depends on the rank:

- Fewer images than channels: the centered features are a root, and R₁R₂ᵀ is small
  (n₁ x n₂).
- Both covariances are well-conditioned: with C₁ = LLᵀ the singular values are the
  square roots of the eigenvalues of the symmetric matrix LᵀC₂L.
- Otherwise: Cholesky factors, pivoted and cut at the numerical rank if singular. Here
  eigenvalues would turn a rounding error ε near zero into √ε.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg

from lada_tf.errors import UserError
from lada_tf.evaluation.statistics import (
    BLOCK_ROWS,
    FeatureStatistics,
    as_features,
    check_same_width,
    fit_statistics,
)

EPSILON = np.finfo(np.float64).eps
# Largest error relative to the traces. Close sets have distances of about 1e-4 of the
# traces; this keeps seven digits of them.
TOLERANCE = 1e-11
KID_SUBSETS, KID_SUBSET_SIZE = 100, 1000


def frechet_distance(real_features: ArrayLike, generated_features: ArrayLike) -> float:
    """Compute the Fréchet distance between Gaussians fitted to two sets of features.

    With the 2015 Inception graph this is FID for the `pool_3` features (Heusel et al.
    2017), and sFID for the first 7 channels of `mixed_6/conv` (Nash et al. 2021). The
    distance is symmetric and always computed in float64.

    Args:
        real_features: array (N, d), N >= 2.
        generated_features: array (M, d), M >= 2; N and M may be smaller than d.

    Returns:
        The distance, at least 0, in squared units of the features.

    Raises:
        UserError: NaN, fewer than two images, or different widths.
    """
    real = as_features(real_features, "real_features")
    generated = as_features(generated_features, "generated_features")
    check_same_width(real, generated)
    return _distance(_fit(real), _fit(generated))


def frechet_distance_of_statistics(
    real: FeatureStatistics, generated: FeatureStatistics
) -> float:
    """Compute `frechet_distance` from means and covariances.

    With fewer images than channels, `frechet_distance` on the features themselves is
    faster and more accurate.

    Raises:
        UserError: different widths.
    """
    check_same_width(real.mean, generated.mean)
    return _distance(_Dense(real), _Dense(generated))


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
    draws = [
        [random.choice(len(f), subset_size, replace=False) for f in (real, generated)]
        for _ in range(subsets)
    ]
    # Multiply-adds with the kernel of all pairs, and with one kernel per subset.
    width = real.shape[1]
    pairs = len(real) ** 2 + len(generated) ** 2 + len(real) * len(generated)
    at_once = pairs * (width + subsets)
    separately = 3 * subset_size**2 * width * subsets
    group = subsets if at_once < separately else 1
    estimates = [
        estimate
        for start in range(0, subsets, group)
        for estimate in _squared_mmds(real, generated, draws[start : start + group])
    ]
    return float(np.mean(estimates)), float(np.std(estimates))


def kid(real: np.ndarray, generated: np.ndarray) -> tuple[float, float]:
    """Return `kernel_distance`, mean and deviation, of the subsets of `kid_subsets`."""
    return kernel_distance(real, generated, *kid_subsets(len(real), len(generated)))


def kid_subsets(num_real: int, num_generated: int) -> tuple[int, int]:
    """Return the number of subsets for KID and their size: usually 100 and 1,000.

    Subsets are smaller if there are fewer images. The mean has no bias for any size.
    There is one subset if it holds all images.
    """
    size = min(KID_SUBSET_SIZE, num_real, num_generated)
    return 1 if num_real == num_generated == size else KID_SUBSETS, size


class _Dense:
    """A Gaussian stored as mean and covariance."""

    def __init__(self, statistics: FeatureStatistics):
        self.mean = statistics.mean
        self.variances = np.diagonal(statistics.covariance)
        self._covariance = statistics.covariance

    def covariance(self, live: np.ndarray) -> np.ndarray:
        """Return the covariance (d', d') of the live channels."""
        return self._covariance[np.ix_(live, live)]

    def root(self, live: np.ndarray) -> np.ndarray:
        """Return R (r, d'), RᵀR = covariance of the live channels, r its rank."""
        covariance = self.covariance(live)
        factor = _cholesky(covariance)
        if factor is not None:
            return factor.T
        packed, pivots, rank, _ = linalg.lapack.dpstrf(covariance, lower=0)
        root = np.zeros((rank, len(packed)))
        root[:, pivots - 1] = np.triu(packed)[:rank]
        return root


class _Thin:
    """A Gaussian of fewer images than channels, stored as mean and root."""

    def __init__(self, features: np.ndarray):
        features = features.astype(np.float64)
        self.mean = features[0] + (features - features[0]).mean(axis=0)
        self._root = (features - self.mean) / np.sqrt(len(features) - 1)
        self.variances = np.square(self._root).sum(axis=0)

    def root(self, live: np.ndarray) -> np.ndarray:
        """Return R (n, d'), RᵀR = covariance of the live channels."""
        return self._root[:, live]


def _fit(features: np.ndarray) -> _Dense | _Thin:
    images, width = features.shape
    return _Thin(features) if images <= width else _Dense(fit_statistics(features))


def _distance(first: _Dense | _Thin, second: _Dense | _Thin) -> float:
    # A channel that is constant in one set adds nothing to the trace of the root.
    live = (first.variances > 0) & (second.variances > 0)
    distance = (
        np.square(first.mean - second.mean).sum()
        + first.variances.sum()
        + second.variances.sum()
        - 2 * _trace_of_root(first, second, live)
    )
    return max(float(distance), 0.0)


def _trace_of_root(
    first: _Dense | _Thin, second: _Dense | _Thin, live: np.ndarray
) -> float:
    """Return tr (C₁C₂)^½ over the live channels."""
    if not live.any():
        return 0.0
    if isinstance(first, _Dense) and isinstance(second, _Dense):
        trace = _by_eigenvalues(first.covariance(live), second.covariance(live))
        if trace is not None:
            return trace
    product = first.root(live) @ second.root(live).T
    return float(linalg.svdvals(product, overwrite_a=True, check_finite=False).sum())


def _by_eigenvalues(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return tr (C₁C₂)^½, or None if rounding would exceed `TOLERANCE`."""
    factor = _cholesky(first)
    if factor is None or _cholesky(second) is None:
        return None
    product = factor.T @ second @ factor
    eigenvalues = linalg.eigvalsh(product, overwrite_a=True, check_finite=False)
    rounding = EPSILON * eigenvalues[-1]  # error of each eigenvalue
    roots = np.sqrt(np.maximum(eigenvalues, rounding))
    error = (rounding / (2 * roots)).sum()
    accurate = error < TOLERANCE * (np.trace(first) + np.trace(second))
    return float(roots.sum()) if accurate else None


def _cholesky(covariance: np.ndarray) -> np.ndarray | None:
    """Return L with LLᵀ = C, or None if C is not numerically positive definite."""
    try:
        factor = linalg.cholesky(covariance, lower=True, check_finite=False)
    except linalg.LinAlgError:
        return None
    pivots = np.square(np.diagonal(factor))
    rounding = len(pivots) * EPSILON * np.diagonal(covariance)
    return factor if (pivots > rounding).all() else None


def _squared_mmds(
    real: np.ndarray, generated: np.ndarray, draws: list[list[np.ndarray]]
) -> np.ndarray:
    """Return the squared MMD of each draw: a pair of row numbers, real and generated.

    Compute the kernel once for all rows that are drawn, not once per draw.
    """
    size = len(draws[0][0])
    x, in_x = _select(real, [rows for rows, _ in draws])
    y, in_y = _select(generated, [rows for _, rows in draws])

    def within(rows: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        own = _kernel(np.einsum("nd,nd->n", rows, rows), rows.shape[1])
        sums = _kernel_sums(rows, rows, chosen, chosen) - chosen @ own
        return sums / (size * (size - 1))

    across = _kernel_sums(x, y, in_x, in_y) / size**2
    return within(x, in_x) + within(y, in_y) - 2 * across


def _select(
    features: np.ndarray, draws: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows (n, d) of any draw, and which are in each: 0 or 1 (draws, n)."""
    used, position = np.unique(np.stack(draws), return_inverse=True)
    chosen = np.zeros((len(draws), len(used)))
    np.put_along_axis(chosen, position.reshape(len(draws), -1), 1, axis=1)
    return features[used].astype(np.float64), chosen


def _kernel_sums(
    x: np.ndarray, y: np.ndarray, in_x: np.ndarray, in_y: np.ndarray
) -> np.ndarray:
    """Return the sum of the kernel over the pairs of each draw, in bounded memory."""
    sums = np.zeros(len(in_x))
    for start in range(0, len(x), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        kernel = _kernel(x[rows] @ y.T, x.shape[1])
        sums += ((in_x[:, rows] @ kernel) * in_y).sum(axis=1)
    return sums


def _kernel(products: np.ndarray, width: int) -> np.ndarray:
    """Return the kernel of dot products. Replaces their array, to save time."""
    products /= width
    products += 1
    products *= np.square(products)  # faster than **3
    return products
