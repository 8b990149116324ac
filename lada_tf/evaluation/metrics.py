"""The five metrics of a set of images, and those of `LadaGAN.evaluate`."""

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from lada_tf.errors import UserError
from lada_tf.evaluation.distances import (
    frechet_distance,
    frechet_distance_of_statistics,
    kernel_distance,
)
from lada_tf.evaluation.extract_features import (
    Extractor,
    Features,
    FeatureSet,
    compute_features,
    open_extractor,
)
from lada_tf.evaluation.image_sets import ImageSet, generated_images
from lada_tf.evaluation.inception_score import inception_score
from lada_tf.evaluation.precision_recall import precision_recall
from lada_tf.evaluation.protocols import Protocol
from lada_tf.evaluation.reference import Reference, open_reference, save_reference
from lada_tf.sampling.grids import to_uint8

NEAREST_K = 3
MAX_SUBSET = 1000  # images per subset of KID, as usual
SUBSETS = 100
NO_DISTANCES = {"kid": float("nan"), "fd": float("nan")}
PACKAGES = ("lada_tf", "keras", "numpy", "scipy", "tensorflow")


def evaluate(
    images: ImageSet,
    protocol: Protocol,
    extractor: Extractor,
    *,
    splits: int | None = None,
    arithmetic: str = "float64",
    batch_size: int = 64,
    cache_dir: str | None = None,
    export_reference: str | None = None,
    **source_options: Any,
) -> dict:
    """Compare a set of images with the real images of a protocol.

    Args:
        images: the generated images.
        protocol: the real images, and the number of images on both sides.
        extractor: the feature extractor.
        splits: as for `inception_score`.
        arithmetic: as for `precision_recall`.
        batch_size: real images per batch.
        cache_dir: directory of cached statistics; by default `default_cache_dir()`.
        export_reference: path of an ADM reference file to write for the real images.
        source_options: how to open the real images: the arguments on_bad_image,
            memory_limit and download of `open_source`.

    Returns:
        A record of JSON values: the metrics, and everything needed to repeat them.

    Raises:
        UserError: the two sides have different sizes, or an image set is too small.
    """
    num_generated = protocol.num_generated or images.num_images
    if num_generated is None:
        raise UserError("set num_generated=N (50000 is usual) or a protocol")
    if images.num_images is not None and num_generated > images.num_images:
        raise UserError(
            f"{num_generated} generated images are needed, but images has only "
            f"{images.num_images}"
        )
    _check_size(images.image_size, protocol.image_size)
    reference = open_reference(
        protocol,
        images.image_size,
        extractor,
        cache_dir,
        batch_size,
        **source_options,
    )
    if reference.images is not None:
        _check_size(images.image_size, reference.images.shape[1])
    if export_reference:
        save_reference(reference, export_reference, extractor)
    features = compute_features(
        images.batches(num_generated), num_generated, extractor, progress="generated"
    )
    num_manifold = None if reference.features is None else len(reference.features)
    return {
        "metrics": compute_metrics(features, reference, extractor, splits, arithmetic),
        "protocol": protocol.name,
        "num_generated": num_generated,
        **images.origin,
        "reference": {
            "source": reference.origin,
            "num_images": reference.pool.count,
            "num_manifold_images": num_manifold,
        },
        "features": extractor.identity,
        "inception_score": f"{splits} splits" if splits else "chunks of 5,000",
        "precision_recall": {"nearest_k": NEAREST_K, "arithmetic": arithmetic},
        "versions": {
            name: importlib.import_module(name).__version__ for name in PACKAGES
        },
    }


def compute_metrics(
    generated: FeatureSet,
    reference: Reference,
    extractor: Extractor,
    splits: int | None = None,
    arithmetic: str = "float64",
) -> dict[str, float]:
    """Compute FID, sFID, Inception score, precision and recall.

    Metrics whose features the extractor or the reference lacks are left out. The other
    arguments are those of `evaluate`.

    Returns:
        The value of each metric by its name, `extractor.metric_name("FID")` etc.
    """
    metrics = {"FID": frechet_distance_of_statistics(reference.pool, generated.pool)}
    if generated.spatial and reference.spatial:
        metrics["sFID"] = frechet_distance_of_statistics(
            reference.spatial, generated.spatial
        )
    if generated.probabilities is not None:
        metrics["IS"] = inception_score(generated.probabilities, splits)
    if reference.features is not None:
        metrics["precision"], metrics["recall"] = precision_recall(
            reference.features, generated.features, NEAREST_K, arithmetic
        )
    return {extractor.metric_name(name): value for name, value in metrics.items()}


def format_table(metrics: dict[str, float], paper: dict[str, float]) -> str:
    """Format metrics next to those of the paper that have the same name."""
    width = max(map(len, metrics))
    lines = [f"{'':{width}}{'measured':>12}{'paper':>8}"]
    for name, value in metrics.items():
        published = f"{paper[name]:8.2f}" if name in paper else ""
        lines.append(f"{name:{width}}{value:12.4f}{published}")
    return "\n".join(lines)


class FeatureDistances:
    """KID and Fréchet distance of a generator to real images that come in batches.

    Args:
        features: name or path as for `open_extractor`, an `Extractor`, or a callable,
            uint8 images (n, height, width, 3) → array (n, d).
    """

    def __init__(self, features: str | Extractor | Callable):
        if isinstance(features, str):
            self._extractor = open_extractor(features)
        elif isinstance(features, Extractor):
            self._extractor = features
        elif callable(features):
            self._extractor = CallableFeatures(features)
        else:
            raise UserError(f"features={features!r} is not a name or callable")
        self._generator: keras.Model | None = None
        self.reset()

    def reset(self) -> None:
        """Forget the real images."""
        self._real: list[np.ndarray] = []
        self._results: dict[str, float] | None = None

    def update(self, images: np.ndarray) -> None:
        """Add real images, float (n, height, width, 3) in [-1, 1]."""
        if len(images):
            self._real.append(self._extractor(np.asarray(to_uint8(images))).pool)
            self._results = None

    def results(self, generator: keras.Model, latent_dim: int) -> dict[str, float]:
        """Return "kid" and "fd" for as many generated images as there are real ones."""
        if self._results is None:
            self._results = self._compute(generator, latent_dim)
        return self._results

    def _compute(self, generator, latent_dim):
        real = np.concatenate(self._real) if self._real else np.zeros((0, 1))
        count = len(real)
        if count < 2:
            return NO_DISTANCES
        if self._generator is not generator:  # keep the graph for the next epoch
            self._generator = generator
            self._generated = generated_images(generator, latent_dim)
        batches = self._generated.batches(count)
        try:
            generated = compute_features(batches, count, self._extractor).features
        except UserError as error:  # callbacks decide what to do after a divergence
            warnings.warn(f"kid and fd are NaN: {error}", stacklevel=2)
            return NO_DISTANCES
        subsets = SUBSETS if count > MAX_SUBSET else 1
        kid, _ = kernel_distance(real, generated, subsets, min(count, MAX_SUBSET))
        return {"kid": kid, "fd": frechet_distance(real, generated)}


class CallableFeatures(Extractor):
    """Extract features with a function of the user."""

    def __init__(self, function: Callable):
        self._function = function
        self.label = self.identity = getattr(function, "__name__", "callable")

    def extract(self, images: np.ndarray) -> Features:
        features = np.asarray(self._function(images), np.float32)
        if features.ndim != 2 or len(features) != len(images):
            raise UserError(
                f"features={self.label}: must return an array ({len(images)}, d), not "
                f"of the shape {features.shape}"
            )
        return Features(features)


def _check_size(generated: int, real: int | None) -> None:
    if real and generated != real:
        raise UserError(
            f"generated images are {generated}x{generated}, but real images are "
            f"{real}x{real}: compare images of the same size"
        )
