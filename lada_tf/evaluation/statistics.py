"""Mean and covariance of features, gathered batch by batch."""

import dataclasses

import numpy as np

from lada_tf.errors import UserError
from lada_tf.evaluation import checks


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureStatistics:
    """A Gaussian fitted to features.

    Attributes:
        mean: float64 (d,).
        covariance: float64 (d, d), the unbiased estimate (divided by count - 1).
        count: number of images, or None where a file does not tell.
    """

    mean: np.ndarray
    covariance: np.ndarray
    count: int | None = None

    def __post_init__(self):
        if self.mean.ndim != 1 or self.covariance.shape != 2 * self.mean.shape:
            raise UserError(
                f"statistics need a mean (d,) and a covariance (d, d), not "
                f"{self.mean.shape} and {self.covariance.shape}"
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.covariance).all()):
            raise UserError("statistics hold NaN or infinite values")


class StreamingStatistics:
    """Mean and covariance of any number of features; no feature is kept.

    The batches are merged by the parallel update of Chan, Golub and LeVeque (1979) in
    float64: a large common offset costs no digits, and a constant channel's variance is
    exactly zero.

    Example:
        statistics = StreamingStatistics()
        for batch in batches:
            statistics.update(extractor(batch).pool)
        fitted = statistics.result()
    """

    def __init__(self):
        self.count = 0
        self._mean = np.zeros(0)
        self._scatter = np.zeros((0, 0))

    def update(self, features) -> None:
        """Takes in one batch.

        Args:
            features: array (n, d), n >= 1; d must not change between calls.

        Raises:
            UserError: another width than before, or NaN or infinite values.
        """
        features = checks.as_features(features, "features", minimum=1)
        if self.count and features.shape[1] != len(self._mean):
            raise UserError(
                f"features are {features.shape[1]} wide after {len(self._mean)}"
            )
        for block in checks.row_blocks(features):
            self._merge(block)

    def result(self) -> FeatureStatistics:
        """The statistics so far.

        Raises:
            UserError: fewer than two images: there is no covariance of one.
        """
        if self.count < 2:
            raise UserError(f"statistics need at least 2 images, not {self.count}")
        return FeatureStatistics(
            self._mean.copy(), self._scatter / (self.count - 1), self.count
        )

    def _merge(self, block: np.ndarray) -> None:
        block = block.astype(np.float64)
        # Averaging offsets from the first row is exact for a constant channel.
        mean = block[0] + (block - block[0]).mean(axis=0)
        centred = block - mean
        scatter = centred.T @ centred
        if not self.count:
            self.count, self._mean, self._scatter = len(block), mean, scatter
            return
        total = self.count + len(block)
        step = mean - self._mean
        scatter += np.outer(step, step * (self.count * len(block) / total))
        self._scatter += scatter
        self._mean = self._mean + step * (len(block) / total)
        self.count = total


def statistics_of(features) -> FeatureStatistics:
    """`FeatureStatistics` of one array (N, d), N >= 2, in bounded extra memory."""
    statistics = StreamingStatistics()
    statistics.update(features)
    return statistics.result()
