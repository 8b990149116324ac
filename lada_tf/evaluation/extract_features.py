"""One pass over images: everything that any of the metrics needs of them."""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np

from lada_tf.errors import UserError
from lada_tf.evaluation.extractor import Extractor
from lada_tf.evaluation.statistics import FeatureStatistics, StreamingStatistics


@dataclasses.dataclass(frozen=True, eq=False)
class Gathered:
    """Features of a set of images.

    Attributes:
        pool: statistics of the pool features.
        spatial: statistics of the spatial features; None if the extractor has none.
        features: float32 (n, d), the pool features of the first images.
        probabilities: float32 (N, classes); None if the extractor has none.
    """

    pool: FeatureStatistics
    spatial: FeatureStatistics | None
    features: np.ndarray
    probabilities: np.ndarray | None


def gather(
    image_batches: Iterable[np.ndarray],
    num_images: int,
    extractor: Extractor,
    num_features: int | None = None,
    progress: Callable[[Iterable], Iterable] | None = None,
) -> Gathered:
    """Runs images through an extractor.

    Args:
        image_batches: uint8 arrays (n, height, width, 3), `num_images` in all.
        num_images: how many there are.
        extractor: of the features.
        num_features: of how many images, the first, the pool features themselves are
            kept; by default all.
        progress: wraps `image_batches`, as `tqdm` does.

    Raises:
        UserError: another number of images than said, or features that are not finite.
    """
    kept = num_images if num_features is None else min(num_features, num_images)
    pool, spatial = StreamingStatistics(), StreamingStatistics()
    features: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    start = 0
    for batch in progress(image_batches) if progress else image_batches:
        found, end = extractor(batch), start + len(batch)
        if end > num_images:
            break
        pool.update(found.pool)
        if features is None:
            features = np.empty((kept, found.pool.shape[1]), np.float32)
        features[start:end] = found.pool[: max(kept - start, 0)]
        if found.spatial is not None:
            spatial.update(found.spatial)
        if found.probabilities is not None:
            if probabilities is None:
                shape = num_images, found.probabilities.shape[1]
                probabilities = np.empty(shape, np.float32)
            probabilities[start:end] = found.probabilities
        start = end
    else:
        end = start
    if end != num_images or features is None:
        raise UserError(f"{num_images} images were announced, {end} or more came")
    return Gathered(
        pool.result(),
        spatial.result() if spatial.count else None,
        features,
        probabilities,
    )
