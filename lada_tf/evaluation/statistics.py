"""Feature arrays: validation, mean and covariance."""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from lada_tf.errors import UserError

BLOCK_ROWS = 2048  # bounds the memory of temporary arrays


def as_features(features: ArrayLike, name: str, minimum: int = 2) -> np.ndarray:
    """Return features (N, d), N >= `minimum`, as an array of finite floats.

    Floats are not copied. Raise UserError with the argument's `name` if the features
    are invalid.
    """
    features = np.asarray(features)
    if features.ndim != 2 or features.shape[1] == 0:
        raise UserError(
            f"{name} must be a matrix with one row per image, but its shape is "
            f"{features.shape}"
        )
    if len(features) < minimum:
        raise UserError(
            f"{name} has {len(features)} row(s); at least {minimum} images are needed"
        )
    if not np.issubdtype(features.dtype, np.floating):
        if not np.can_cast(features.dtype, np.float64, casting="same_kind"):
            raise UserError(f"{name} must hold real numbers, not {features.dtype}")
        features = features.astype(np.float64)
    if not np.isfinite(features).all():
        raise UserError(f"{name} holds NaN or infinite values")
    return features


def check_same_width(real: np.ndarray, generated: np.ndarray) -> None:
    """Raise `UserError` if features, or their means, have different widths."""
    if real.shape[-1] != generated.shape[-1]:
        raise UserError(
            f"real features have {real.shape[-1]} channels and generated features "
            f"{generated.shape[-1]}: use the same extractor for both"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureStatistics:
    """A Gaussian fitted to features.

    Attributes:
        mean: float64 (d,).
        covariance: float64 (d, d), the unbiased estimate (divided by count - 1).
        count: number of images; None if unknown.
    """

    mean: np.ndarray
    covariance: np.ndarray
    count: int | None = None

    def __post_init__(self):
        if self.mean.ndim != 1 or self.covariance.shape != 2 * self.mean.shape:
            raise UserError(
                "statistics need a mean (d,) and a covariance (d, d), not "
                f"{self.mean.shape} and {self.covariance.shape}"
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.covariance).all()):
            raise UserError("statistics hold NaN or infinite values")


class StreamingStatistics:
    """Mean and covariance of features that arrive in batches.

    Batches are merged in float64 by the parallel update of Chan, Golub and LeVeque
    (1979). A large common offset costs no digits, and the variance of a constant
    channel is exactly 0.
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean = np.zeros(0)
        self._scatter = np.zeros((0, 0))

    def update(self, features: ArrayLike) -> None:
        """Add a batch (n, d), n >= 1, with the same d in every call.

        Raises:
            UserError: the width changed, or a value is NaN or infinite.
        """
        features = as_features(features, "features", minimum=1)
        if self.count and features.shape[1] != len(self._mean):
            raise UserError(
                f"features have {features.shape[1]} channels; earlier batches had "
                f"{len(self._mean)}"
            )
        for block in split_rows(features, BLOCK_ROWS):
            self._merge(block.astype(np.float64))

    def result(self) -> FeatureStatistics:
        """Return the statistics of all batches up to now.

        Raises:
            UserError: fewer than two images.
        """
        if self.count < 2:
            raise UserError(f"statistics need at least 2 images, not {self.count}")
        return FeatureStatistics(
            self._mean.copy(), self._scatter / (self.count - 1), self.count
        )

    def _merge(self, block: np.ndarray) -> None:
        # Averaging offsets from the first row is exact for a constant channel.
        mean = block[0] + (block - block[0]).mean(axis=0)
        centered = block - mean
        scatter = centered.T @ centered
        if not self.count:
            self.count, self._mean, self._scatter = len(block), mean, scatter
            return
        total = self.count + len(block)
        step = mean - self._mean
        scatter += np.outer(step, step * (self.count * len(block) / total))
        self._scatter += scatter
        self._mean = self._mean + step * (len(block) / total)
        self.count = total


def fit_statistics(features: ArrayLike) -> FeatureStatistics:
    """Return the `FeatureStatistics` of one array (N, d), N >= 2."""
    statistics = StreamingStatistics()
    statistics.update(features)
    return statistics.result()


def split_rows(array: np.ndarray, num_rows: int) -> list[np.ndarray]:
    """Split an array into views of at most `num_rows` rows."""
    starts = range(0, len(array), num_rows)
    return [array[start : start + num_rows] for start in starts]
