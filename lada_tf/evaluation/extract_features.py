"""Feature extractors, and one pass of an extractor over a set of images."""

import abc
import dataclasses
import os
from collections.abc import Iterable

import numpy as np
import tqdm

from lada_tf.errors import UserError
from lada_tf.evaluation.statistics import (
    FeatureStatistics,
    StreamingStatistics,
    fit_statistics,
)
from lada_tf.io import default_cache_dir

SMALL_CLASSIFIER_LIMIT = 64  # pixels


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """Features of one batch of images.

    Attributes:
        pool: float32 (n, d), one vector per image.
        spatial: float32 (n, d'), flattened feature maps for sFID, or None.
        probabilities: float32 (n, classes), rows that sum to 1, for the Inception
            score, or None.
    """

    pool: np.ndarray
    spatial: np.ndarray | None = None
    probabilities: np.ndarray | None = None


class Extractor(abc.ABC):
    """A network that maps images to features.

    Attributes:
        label: suffix, in parentheses, of every metric's name. None for the 2015
            Inception graph, the only network whose Fréchet distance is called FID.
        identity: string that changes when the features change. It is part of the key of
            cached statistics.
    """

    label: str | None
    identity: str

    def __call__(self, images: np.ndarray) -> Features:
        """Extract the features of RGB images, uint8 (n, height, width, 3), n >= 1."""
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
            raise UserError(
                "images must be uint8 (n, height, width, 3), not "
                f"{images.dtype} {images.shape}"
            )
        return self.extract(images)

    def metric_name(self, metric: str) -> str:
        """Return the metric's name with the label: "FID", or "FD (label)"."""
        if self.label is None:
            return metric
        return f"{metric.replace('FID', 'FD')} ({self.label})"

    @abc.abstractmethod
    def extract(self, images: np.ndarray) -> Features:
        """Extract the features of a batch that `__call__` has checked."""


def open_extractor(
    features: str = "inception",
    inception_graph: str | None = None,
    inception_sha256: str | None = None,
    features_input: str | None = None,
) -> Extractor:
    """Open a feature extractor.

    Args:
        features: "inception" (the 2015 graph, for FID), "keras_inception_v3",
            "small_classifier" (part of the package, works offline), or the path of a
            `.keras` or `.onnx` file or SavedModel directory.
        inception_graph: file of the 2015 graph; by default it is in the cache
            directory.
        inception_sha256: checksum of a graph other than the public one.
        features_input: settings of an `.onnx` file, see
            `lada_tf.evaluation.onnx_features`.

    Raises:
        UserError: the network or its weights are missing or invalid.
    """
    # Lazy imports: each network's module takes seconds to import.
    if features.lower().endswith(".onnx"):
        from lada_tf.evaluation.onnx_features import OnnxFeatures

        return OnnxFeatures(features, features_input)
    if features_input:
        raise UserError(
            f"features_input={features_input}: only for .onnx files, not for "
            f"features={features}. Leave it out"
        )
    if features == "inception":
        from lada_tf.evaluation.inception_graph import InceptionGraph

        return InceptionGraph(inception_graph, inception_sha256)
    from lada_tf.evaluation import model_features

    if features == "small_classifier":
        return model_features.SmallClassifier()
    if features == "keras_inception_v3":
        return model_features.KerasInceptionV3()
    return model_features.ModelFeatures(features)


def choose_features(image_size: int) -> str:
    """Return the features to compare checkpoints with, for images of this size.

    The result is "inception" if its file is in the cache directory. Otherwise, it is
    "small_classifier", which sees 32x32 pixels, for images of at most 64x64.

    Raises:
        UserError: neither can be used.
    """
    from lada_tf.evaluation.inception_graph import FILE_NAME

    path = os.path.join(default_cache_dir(), FILE_NAME)
    if os.path.exists(path):
        return "inception"
    if image_size <= SMALL_CLASSIFIER_LIMIT:
        return "small_classifier"
    raise UserError(
        f"eval_features is not set, and image_size={image_size}: the small classifier "
        "sees 32x32 pixels, too few to choose between checkpoints of this size. Put "
        f"the Inception graph at {path}, or set eval_features to keras_inception_v3 or "
        "to a model (.onnx, .keras, or SavedModel). eval_features=small_classifier "
        "uses it anyway"
    )


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureSet:
    """Features of a set of images.

    Attributes:
        pool: statistics of the pool features.
        spatial: statistics of the spatial features; None if the extractor has none.
        features: float32 (n, d), the pool features of the first n images.
        probabilities: float32 (N, classes); None if the extractor has none.
        spatial_features: float32 (N, d'); None unless they are kept.
    """

    pool: FeatureStatistics
    spatial: FeatureStatistics | None
    features: np.ndarray
    probabilities: np.ndarray | None
    spatial_features: np.ndarray | None = None

    def subset(self, rows: np.ndarray) -> "FeatureSet":
        """Return the features of some of the images. Needs the features of all."""

        def rows_of(array: np.ndarray | None) -> np.ndarray | None:
            return None if array is None else array[rows]

        features, spatial = self.features[rows], rows_of(self.spatial_features)
        return FeatureSet(
            fit_statistics(features),
            None if spatial is None else fit_statistics(spatial),
            features,
            rows_of(self.probabilities),
            spatial,
        )


def compute_features(
    image_batches: Iterable[np.ndarray],
    num_images: int,
    extractor: Extractor,
    num_features: int | None = None,
    progress: str | None = None,
    keep_spatial: bool = False,
) -> FeatureSet:
    """Extract the features of `num_images` images, in uint8 batches, in one pass.

    The statistics cover all images, and `FeatureSet.features` only the first
    `num_features` (default: all). A `progress` label shows a progress bar on stderr.
    `keep_spatial` keeps the spatial features of all images too.

    Raises:
        UserError: the batches do not hold `num_images` images, or a feature is NaN or
            infinite.
    """
    num_features = num_images if num_features is None else num_features
    pool, spatial = StreamingStatistics(), StreamingStatistics()
    features: list[np.ndarray] = []
    spatial_features: list[np.ndarray] = []
    probabilities: list[np.ndarray] = []
    # disable=None: no bar unless stderr is a terminal.
    disable = None if progress else True
    with tqdm.tqdm(total=num_images, desc=progress, unit="img", disable=disable) as bar:
        for images in image_batches:
            batch = extractor(images)
            features.append(batch.pool[: max(num_features - pool.count, 0)].copy())
            pool.update(batch.pool)
            if batch.spatial is not None:
                spatial.update(batch.spatial)
                if keep_spatial:
                    spatial_features.append(batch.spatial)
            if batch.probabilities is not None:
                probabilities.append(batch.probabilities)
            bar.update(len(images))
    if pool.count != num_images:
        raise UserError(
            f"num_images={num_images} does not match the {pool.count} images of the "
            "batches"
        )
    return FeatureSet(
        pool.result(),
        spatial.result() if spatial.count else None,
        np.concatenate(features),
        np.concatenate(probabilities) if probabilities else None,
        np.concatenate(spatial_features) if spatial_features else None,
    )
