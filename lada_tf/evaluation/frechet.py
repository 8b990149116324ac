"""The Fréchet distance between Gaussians, without a matrix square root.

    ‖μ₁-μ₂‖² + tr C₁ + tr C₂ - 2 tr (C₁C₂)^½        (Dowson and Landau 1982)

For any roots Cᵢ = RᵢᵀRᵢ the last trace is the sum of the singular values of R₁R₂ᵀ. That
form is real and non-negative by construction. Which root is cheap depends on the rank:

- fewer images than channels: the centred features are the root, and the product is
  small (n₁ x n₂);
- both covariances well inside the positive definite ones: with C₁ = LLᵀ those singular
  values are the square roots of the eigenvalues of LᵀC₂L, symmetric, the fastest form;
- anything else: Cholesky factors, pivoted and cut at the numerical rank where singular,
  are the roots. Eigenvalues would turn a rounding error ε near zero into √ε.
"""

import numpy as np
from scipy import linalg

from lada_tf.errors import UserError
from lada_tf.evaluation import checks
from lada_tf.evaluation.statistics import FeatureStatistics, statistics_of

EPSILON = np.finfo(np.float64).eps
# Of the traces: a distance of 1e-4 of them, as of close sets, keeps seven digits.
TOLERANCE = 1e-11


def frechet_distance(real_features, generated_features) -> float:
    """Fréchet distance between Gaussians fitted to two sets of features.

    With the 2015 Inception graph's `pool_3` features this is FID (Heusel et al. 2017),
    with the first 7 channels of `mixed_6/conv` sFID (Nash et al. 2021). Symmetric.
    Computed in float64 whatever the dtype of the features.

    Args:
        real_features: array (N, d), N >= 2.
        generated_features: array (M, d), M >= 2; N and M may be smaller than d.

    Returns:
        The distance, at least 0, in squared units of the features.

    Raises:
        UserError: NaN, fewer than two images, or different widths.
    """
    real = checks.as_features(real_features, "real_features")
    generated = checks.as_features(generated_features, "generated_features")
    checks.check_same_width(real, generated)
    return _distance(_fit(real), _fit(generated))


def frechet_distance_of_statistics(
    real: FeatureStatistics, generated: FeatureStatistics
) -> float:
    """`frechet_distance` from means and covariances, such as a reference file's.

    Where there were fewer images than channels, `frechet_distance` on the features
    themselves is faster and keeps more digits.

    Raises:
        UserError: different widths.
    """
    if real.mean.shape != generated.mean.shape:
        raise UserError(
            f"real statistics have {len(real.mean)} channels and generated ones "
            f"{len(generated.mean)}: take both from the same extractor"
        )
    return _distance(_Full(real), _Full(generated))


class _Full:
    """A Gaussian that is held as its mean and covariance."""

    def __init__(self, statistics: FeatureStatistics):
        self.mean = statistics.mean
        self.variances = np.diagonal(statistics.covariance)
        self._covariance = statistics.covariance

    def covariance(self, live: np.ndarray) -> np.ndarray:
        """The covariance (d', d') of the live channels."""
        return self._covariance[np.ix_(live, live)]

    def root(self, live: np.ndarray) -> np.ndarray:
        """R (r, d') with RᵀR the live channels' covariance, r its numerical rank."""
        covariance = self.covariance(live)
        factor = _cholesky(covariance)
        if factor is not None:
            return factor.T
        packed, pivots, rank, _ = linalg.lapack.dpstrf(covariance, lower=0)
        root = np.zeros((rank, len(packed)))
        root[:, pivots - 1] = np.triu(packed)[:rank]
        return root


class _Thin:
    """A Gaussian of fewer images than channels: its covariance is never formed."""

    def __init__(self, features: np.ndarray):
        features = features.astype(np.float64)
        self.mean = features[0] + (features - features[0]).mean(axis=0)
        self._root = (features - self.mean) / np.sqrt(len(features) - 1)
        self.variances = np.square(self._root).sum(axis=0)

    def root(self, live: np.ndarray) -> np.ndarray:
        """R (n, d') with RᵀR the live channels' covariance."""
        return self._root[:, live]


def _fit(features: np.ndarray) -> _Full | _Thin:
    images, width = features.shape
    return _Thin(features) if images <= width else _Full(statistics_of(features))


def _distance(first: _Full | _Thin, second: _Full | _Thin) -> float:
    # A channel that is constant in either set adds nothing to the trace of the root.
    live = (first.variances > 0) & (second.variances > 0)
    distance = (
        np.square(first.mean - second.mean).sum()
        + first.variances.sum()
        + second.variances.sum()
        - 2 * _trace_of_root(first, second, live)
    )
    return max(float(distance), 0.0)


def _trace_of_root(
    first: _Full | _Thin, second: _Full | _Thin, live: np.ndarray
) -> float:
    """tr (C₁C₂)^½ over the live channels."""
    if not live.any():
        return 0.0
    if isinstance(first, _Full) and isinstance(second, _Full):
        trace = _by_eigenvalues(first.covariance(live), second.covariance(live))
        if trace is not None:
            return trace
    product = first.root(live) @ second.root(live).T
    return float(linalg.svdvals(product, overwrite_a=True, check_finite=False).sum())


def _by_eigenvalues(first: np.ndarray, second: np.ndarray) -> float | None:
    """tr (C₁C₂)^½, or None where rounding would cost digits."""
    factor = _cholesky(first)
    if factor is None or _cholesky(second) is None:
        return None
    product = factor.T @ second @ factor
    eigenvalues = linalg.eigvalsh(product, overwrite_a=True, check_finite=False)
    rounding = EPSILON * eigenvalues[-1]  # of each eigenvalue
    roots = np.sqrt(np.maximum(eigenvalues, rounding))
    error = (rounding / (2 * roots)).sum()
    accurate = error < TOLERANCE * (np.trace(first) + np.trace(second))
    return float(roots.sum()) if accurate else None


def _cholesky(covariance: np.ndarray) -> np.ndarray | None:
    """L with LLᵀ = C, or None where C is not positive definite to working precision."""
    try:
        factor = linalg.cholesky(covariance, lower=True, check_finite=False)
    except linalg.LinAlgError:
        return None
    pivots = np.square(np.diagonal(factor))
    rounding = len(pivots) * EPSILON * np.diagonal(covariance)
    return factor if (pivots > rounding).all() else None
