"""What a feature extractor is: uint8 images in, named features out."""

import abc
import dataclasses

import numpy as np

from lada_tf.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """One batch's features; what an extractor lacks is None.

    Attributes:
        pool: float32 (n, d), one vector an image.
        spatial: float32 (n, d'), a map laid out as a vector (sFID).
        probabilities: float32 (n, classes), rows that sum to 1 (Inception score).
    """

    pool: np.ndarray
    spatial: np.ndarray | None = None
    probabilities: np.ndarray | None = None


class Extractor(abc.ABC):
    """A network that turns images into features.

    Attributes:
        label: what stands in brackets behind every metric's name; None for the one
            graph whose Fréchet distance is called FID.
        identity: a short string that changes when the features do: part of the key of
            every stored statistic.
    """

    label: str | None
    identity: str

    def __call__(self, images: np.ndarray) -> Features:
        """Features of a batch.

        Args:
            images: uint8 (n, height, width, 3), n >= 1, RGB.

        Raises:
            UserError: images of another shape or dtype.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
            raise UserError(
                "features are taken of uint8 images (n, height, width, 3), not "
                f"{images.dtype} {images.shape}"
            )
        return self.extract(images)

    def metric_name(self, metric: str) -> str:
        """ADM's name of a metric, such as "FID"; "FD (…)" where it is not that."""
        if self.label is None:
            return metric
        return f"{metric.replace('FID', 'FD')} ({self.label})"

    @abc.abstractmethod
    def extract(self, images: np.ndarray) -> Features:
        """`__call__` after its checks."""
