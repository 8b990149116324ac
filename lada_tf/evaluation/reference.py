"""The real side of an evaluation: statistics, and features for precision and recall.

Files have the format of the guided-diffusion (ADM) evaluator's reference batches: an
`.npz` of `mu` and `sigma` (pool), `mu_s` and `sigma_s` (spatial), and `arr_0`, the
images for precision and recall. We add `extractor`, `count` and `features`, the pool
features of `arr_0`; other readers ignore them.
"""

import dataclasses
import hashlib
import os
from typing import Any

import numpy as np
from absl import logging

from lada_tf.data import ImageSource, open_source
from lada_tf.data.opening import naming_argument
from lada_tf.errors import UserError
from lada_tf.evaluation.extract_features import Extractor, compute_features
from lada_tf.evaluation.protocols import Protocol
from lada_tf.evaluation.statistics import (
    FeatureStatistics,
    as_features,
    split_rows,
)
from lada_tf.io import default_cache_dir, open_zip, replacing, user_path

MANIFOLD_IMAGES = 10_000  # number of images in ADM's reference batches
_ARRAYS = {  # type and number of dimensions of the arrays in a file
    "mu": (np.floating, 1),
    "sigma": (np.floating, 2),
    "mu_s": (np.floating, 1),
    "sigma_s": (np.floating, 2),
    "arr_0": (np.uint8, 4),
    "features": (np.floating, 2),
    "extractor": (np.str_, 0),
    "count": (np.integer, 0),
}
SEED = 0  # seed of the random choice of images


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """Features of real images, as in `FeatureSet`.

    Attributes:
        pool, spatial: statistics of all images.
        features: float32 (n, d), pool features of at most 10,000 images; None if a file
            has neither features nor images.
        images: uint8 (n, height, width, 3), the images of `features`; None if unknown.
        origin: fingerprint of the source, or name of the file.
    """

    pool: FeatureStatistics
    spatial: FeatureStatistics | None
    features: np.ndarray | None
    images: np.ndarray | None
    origin: str


def open_reference(
    protocol: Protocol,
    image_size: int,
    extractor: Extractor,
    cache_dir: str | None = None,
    batch_size: int = 64,
    **source_options: Any,
) -> Reference:
    """Load or compute the reference of a protocol.

    The protocol names an ADM reference file, or a data source whose images are resized
    to `image_size`. Its reference is cached in `cache_dir` or `default_cache_dir()`.
    `source_options` are arguments of `open_source`: on_bad_image, memory_limit,
    download.
    """
    real = user_path(protocol.real)
    if is_reference(real):
        return load_reference(real, extractor, batch_size)
    with naming_argument("real"):
        source = open_source(
            real,
            image_size,
            resize=protocol.resize,
            cache_dir=cache_dir,
            **source_options,
        )
    if protocol.source_images and len(source) != protocol.source_images:
        raise UserError(
            f"real={real} has {len(source)} images; protocol={protocol.name} requires "
            f"{protocol.source_images}"
        )
    return cached_reference(source, extractor, cache_dir, protocol.num_real, batch_size)


def compute_reference(
    source: ImageSource,
    extractor: Extractor,
    num_images: int | None = None,
    batch_size: int = 64,
    keep_images: bool = True,
) -> Reference:
    """Compute the reference of a source, with at most 10,000 images in memory.

    It covers `num_images` images, chosen at random with a fixed seed, or all. Without
    `keep_images` it has their features, but not the images.
    """
    if num_images is not None and num_images > len(source):
        raise UserError(
            f"num_real={num_images}: {source.fingerprint} has only {len(source)} "
            "images. Set a smaller num_real"
        )
    # In random order, the first images are a random sample for precision and recall.
    order = np.random.default_rng(SEED).permutation(len(source))[:num_images]
    batches = (source.images(part) for part in split_rows(order, batch_size))
    computed = compute_features(
        batches, len(order), extractor, MANIFOLD_IMAGES, progress="real"
    )
    images = source.images(order[:MANIFOLD_IMAGES]) if keep_images else None
    return Reference(
        computed.pool, computed.spatial, computed.features, images, source.fingerprint
    )


def cached_reference(
    source: ImageSource,
    extractor: Extractor,
    cache_dir: str | None = None,
    num_images: int | None = None,
    batch_size: int = 64,
    keep_images: bool = True,
) -> Reference:
    """Return `compute_reference`, cached on disk."""
    key = f"{source.fingerprint}|{extractor.identity}|{num_images}|{SEED}"
    key += "" if keep_images else "|features"
    digest = hashlib.sha256(key.encode()).hexdigest()[:20]
    directory = user_path(cache_dir) if cache_dir else default_cache_dir()
    path = os.path.join(directory, f"reference-{digest}.npz")
    if os.path.exists(path):
        try:
            stored = load_reference(path, extractor)
            return dataclasses.replace(stored, origin=source.fingerprint)
        except UserError as error:  # a damaged disk must not stop a run
            logging.warning(
                "cannot use the cached statistics, computing them again: %s", error
            )
    reference = compute_reference(
        source, extractor, num_images, batch_size, keep_images
    )
    try:
        save_reference(reference, path, extractor)
    except UserError as error:  # a read-only home directory, for example
        logging.warning("cannot cache the statistics: %s", error)
    return reference


def save_reference(reference: Reference, path: str, extractor: Extractor) -> None:
    """Write an ADM reference batch atomically."""
    spatial = reference.spatial
    arrays = {
        "mu": reference.pool.mean,
        "sigma": reference.pool.covariance,
        "mu_s": spatial and spatial.mean,
        "sigma_s": spatial and spatial.covariance,
        "arr_0": reference.images,
        "features": reference.features,
        "extractor": extractor.identity,
        "count": reference.pool.count,
    }
    path = os.path.abspath(user_path(path))
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with replacing(path) as temporary, open(temporary, "wb") as file:
            present = {name: a for name, a in arrays.items() if a is not None}
            np.savez(file, **present)  # type: ignore[arg-type]
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def is_reference(path: str) -> bool:
    """Return True if the path is an `.npz` file that holds statistics."""
    try:
        with open_zip(user_path(path)) as archive:
            return "mu.npy" in archive.namelist()
    except Exception:  # on damaged files, zipfile raises almost anything
        return False


def load_reference(path: str, extractor: Extractor, batch_size: int = 64) -> Reference:
    """Read an ADM reference batch, published or written by `save_reference`.

    If the file has no features for precision and recall, compute them from `arr_0`.
    """
    path = user_path(path)
    try:
        open_zip(path).close()
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _ARRAYS if name in file}
    except Exception as error:  # on damaged files, zipfile raises almost anything
        raise UserError(
            f"{path} is not an .npz file that can be read without pickles: {error}"
        ) from error
    for name, array in arrays.items():
        kind, ndim = _ARRAYS[name]
        if not np.issubdtype(array.dtype, kind) or array.ndim != ndim:
            raise UserError(
                f"{path}: the array {name} must have {ndim} dimensions and a dtype of "
                f"the kind {kind.__name__}, not {array.dtype} {array.shape}"
            )
    for name in ("mu", "sigma", "mu_s", "sigma_s")[: 4 if "mu_s" in arrays else 2]:
        if name not in arrays:
            raise UserError(
                f"{path} lacks the array {name} of an ADM reference batch. Choose "
                "another file, or compare with the images themselves"
            )
    # Published files do not name the extractor; it is always the 2015 graph.
    made_with = str(arrays.get("extractor", "inception_graph:"))
    if not extractor.identity.startswith(made_with):
        raise UserError(
            f"{path} was made with {made_with}, not {extractor.identity}: choose the "
            "same features, or compute the reference from the images"
        )

    def statistics(mean: str, covariance: str) -> FeatureStatistics:
        count = int(arrays["count"]) if "count" in arrays else None
        mu, sigma = (arrays[name].astype(np.float64) for name in (mean, covariance))
        return FeatureStatistics(mu, sigma, count)

    pool = statistics("mu", "sigma")
    spatial = statistics("mu_s", "sigma_s") if "mu_s" in arrays else None
    features, images = arrays.get("features"), arrays.get("arr_0")
    if images is not None and (0 in images.shape or images.shape[3] != 3):
        raise UserError(f"{path}: arr_0 must be RGB images, not {images.shape}")
    if features is None and images is not None:
        batches = split_rows(images, batch_size)
        computed = compute_features(batches, len(images), extractor, progress="real")
        features = computed.features
    if features is not None and features.shape[1:] != pool.mean.shape:
        raise UserError(
            f"{path} has statistics of {len(pool.mean)} channels, but the extractor "
            f"has {features.shape[1]}: the file was made with another extractor"
        )
    if features is not None:
        as_features(features, f"features in {path}")
        if images is not None and len(images) != len(features):
            raise UserError(
                f"{path}: arr_0 and features differ in length, so the file is damaged"
            )
    return Reference(pool, spatial, features, images, os.path.basename(path))
