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
    return _distance(_Gaussian(real), _Gaussian(generated))


class _Gaussian:
    """A mean, the channels' variances, and a root of the covariance."""

    def __init__(self, statistics: FeatureStatistics):
        self.mean = statistics.mean
        self.variances = np.diagonal(statistics.covariance)
        self._covariance = statistics.covariance

    def covariance(self, live: np.ndarray) -> np.ndarray | None:
        """The covariance (d', d') of the live channels; None if only a root is held."""
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


class _ThinGaussian(_Gaussian):
    """Of fewer images than channels: the d x d covariance is never formed."""

    def __init__(self, features: np.ndarray):
        features = features.astype(np.float64)
        self.mean = features[0] + (features - features[0]).mean(axis=0)
        self._root = (features - self.mean) / np.sqrt(len(features) - 1)
        self.variances = np.square(self._root).sum(axis=0)

    def covariance(self, live: np.ndarray) -> None:
        return None

    def root(self, live: np.ndarray) -> np.ndarray:
        return self._root[:, live]


def _fit(features: np.ndarray) -> _Gaussian:
    images, width = features.shape
    return (
        _ThinGaussian(features)
        if images <= width
        else _Gaussian(statistics_of(features))
    )


def _distance(first: _Gaussian, second: _Gaussian) -> float:
    # A channel that is constant in either set adds nothing to the trace of the root.
    live = (first.variances > 0) & (second.variances > 0)
    distance = (
        np.square(first.mean - second.mean).sum()
        + first.variances.sum()
        + second.variances.sum()
        - 2 * _trace_of_root(first, second, live)
    )
    return max(float(distance), 0.0)


def _trace_of_root(first: _Gaussian, second: _Gaussian, live: np.ndarray) -> float:
    """tr (C₁C₂)^½ over the live channels."""
    if not live.any():
        return 0.0
    factor = _cholesky(first.covariance(live))
    if factor is not None and _cholesky(second.covariance(live)) is not None:
        product = factor.T @ second.covariance(live) @ factor
        eigenvalues = linalg.eigvalsh(product, overwrite_a=True, check_finite=False)
        rounding = EPSILON * eigenvalues[-1]  # of each eigenvalue
        roots = np.sqrt(np.maximum(eigenvalues, rounding))
        traces = first.variances.sum() + second.variances.sum()
        if (rounding / (2 * roots)).sum() < TOLERANCE * traces:
            return float(roots.sum())
    product = first.root(live) @ second.root(live).T
    return float(linalg.svdvals(product, overwrite_a=True, check_finite=False).sum())


def _cholesky(covariance: np.ndarray | None) -> np.ndarray | None:
    """L with LLᵀ = C, or None where C is not positive definite to working precision."""
    if covariance is None:
        return None
    try:
        factor = linalg.cholesky(covariance, lower=True, check_finite=False)
    except linalg.LinAlgError:
        return None
    pivots = np.square(np.diagonal(factor))
    rounding = len(pivots) * EPSILON * np.diagonal(covariance)
    return factor if (pivots > rounding).all() else None
