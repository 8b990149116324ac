"""The five metrics of a set of images, and a record of how they were computed."""

import importlib
from typing import Any

from lada_tf.errors import UserError
from lada_tf.evaluation.distances import frechet_distance_of_statistics
from lada_tf.evaluation.extract_features import Extractor, FeatureSet, compute_features
from lada_tf.evaluation.image_sets import ImageSet
from lada_tf.evaluation.inception_score import inception_score
from lada_tf.evaluation.precision_recall import precision_recall
from lada_tf.evaluation.protocols import Protocol
from lada_tf.evaluation.reference import Reference, open_reference, save_reference

NEAREST_K = 3
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
        **source_options: other arguments of `open_source` for the real images.

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


def _check_size(generated: int, real: int | None) -> None:
    if real and generated != real:
        raise UserError(
            f"generated images are {generated}x{generated}, but real images are "
            f"{real}x{real}: compare images of the same size"
        )
