"""The five metrics of a set of images, and the record of how they were made."""

import importlib.metadata
from collections.abc import Iterable

import numpy as np

from lada_tf.errors import UserError
from lada_tf.evaluation.extract_features import gather
from lada_tf.evaluation.extractor import Extractor
from lada_tf.evaluation.frechet import frechet_distance_of_statistics
from lada_tf.evaluation.inception_score import inception_score
from lada_tf.evaluation.precision_recall import precision_recall
from lada_tf.evaluation.reference import Reference

NEAREST_K = 3
PACKAGES = ("keras", "numpy", "scipy", "tensorflow")


def measure(
    image_batches: Iterable[np.ndarray],
    num_images: int,
    reference: Reference,
    extractor: Extractor,
    splits: int | None = None,
    arithmetic: str = "float32",
    progress=None,
) -> dict[str, float]:
    """FID, sFID, Inception score, precision and recall of generated images.

    Args:
        image_batches: uint8 arrays (n, height, width, 3), `num_images` in all.
        num_images: how many.
        reference: the real side, made with the same extractor.
        extractor: of the features; what it has none of is left out of the result.
        splits: of the Inception score; by default ADM's chunks of 5,000.
        arithmetic: of precision and recall.
        progress: wraps `image_batches`, as `tqdm` does.

    Returns:
        {name: value}, every name by `Extractor.metric_name`.

    Raises:
        UserError: the reference is of another extractor, or too few images.
    """
    found = gather(image_batches, num_images, extractor, progress=progress)
    results = {"FID": frechet_distance_of_statistics(reference.pool, found.pool)}
    if found.spatial and reference.spatial:
        distance = frechet_distance_of_statistics(reference.spatial, found.spatial)
        results["sFID"] = distance
    if found.probabilities is not None:
        results["IS"] = inception_score(found.probabilities, splits)
    if reference.features is not None:
        results["precision"], results["recall"] = precision_recall(
            reference.features, found.features, NEAREST_K, arithmetic
        )
    return {extractor.metric_name(name): value for name, value in results.items()}


def provenance(
    reference: Reference,
    extractor: Extractor,
    splits: int | None = None,
    arithmetic: str = "float32",
) -> dict:
    """What `measure` was told, for the record: plain values that JSON takes."""
    manifold = None if reference.features is None else len(reference.features)
    return {
        "reference": {
            "source": reference.origin,
            "num_images": reference.pool.count,
            "num_manifold_images": manifold,
        },
        "features": extractor.identity,
        "inception_score": "chunks of 5,000" if splits is None else f"{splits} splits",
        "precision_recall": {"nearest_k": NEAREST_K, "arithmetic": arithmetic},
        "versions": {name: _version(name) for name in ("lada_tf", *PACKAGES)},
    }


def table(metrics: dict[str, float], paper: dict[str, float]) -> str:
    """Metrics beside the paper's; only a metric of the same name stands beside one."""
    width = max(map(len, metrics))
    lines = [f"{'':{width}}{'measured':>12}{'paper':>8}"]
    for name, value in metrics.items():
        figure = f"{paper[name]:8.2f}" if name in paper else ""
        lines.append(f"{name:{width}}{value:12.4f}{figure}")
    return "\n".join(lines)


def check_size(generated: int, real: int) -> None:
    """Raises `UserError` where the two sides are of different sizes."""
    if generated != real:
        raise UserError(
            f"generated images are {generated}x{generated}, the real ones "
            f"{real}x{real}: compare images of one size"
        )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None  # run from a checkout
