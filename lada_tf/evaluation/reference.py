"""The real side of an evaluation: statistics, and features for precision and recall.

Stored as the guided-diffusion evaluator's reference batches are: an `.npz` of `mu`,
`sigma` (pool), `mu_s`, `sigma_s` (spatial) and `arr_0`, the images that precision and
recall are taken on. What we write holds besides: `features`, the pool features of
`arr_0`, so that they need not be computed again; `extractor` and `count`. Other readers
of such files ignore them.
"""

import dataclasses
import hashlib
import os
import zipfile

import numpy as np

from lada_tf.errors import UserError
from lada_tf.evaluation.extract_features import gather
from lada_tf.evaluation.extractor import Extractor
from lada_tf.evaluation.images import ImageSource, batches
from lada_tf.evaluation.statistics import FeatureStatistics

MANIFOLD_IMAGES = 10_000  # the size of ADM's reference batches
SEED = 0  # of every choice of images


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """What generated images are compared with.

    Attributes:
        pool: of all reference images.
        spatial: of all reference images; None if the extractor has none.
        features: float32 (n, d), pool features of at most 10,000 images; None if a file
            has none and no images to take them from.
        images: uint8 (n, height, width, 3), the images of `features`; None if unknown.
        origin: the source's fingerprint, or the file's name.
    """

    pool: FeatureStatistics
    spatial: FeatureStatistics | None
    features: np.ndarray | None
    images: np.ndarray | None
    origin: str


def compute_reference(
    source: ImageSource,
    extractor: Extractor,
    num_images: int | None = None,
    batch_size: int = 64,
    progress=None,
) -> Reference:
    """Reference of a source of images, in memory bounded by 10,000 of them.

    Args:
        source: the real images.
        extractor: of the features.
        num_images: take that many random images (without replacement, by a fixed seed)
            in place of all.
        batch_size: images at a time.
        progress: wraps the iterable of batches, as `tqdm` does.

    Raises:
        UserError: the source has fewer than `num_images` images, or fewer than two.
    """
    order = np.random.default_rng(SEED).permutation(len(source))
    if num_images is not None and num_images > len(source):
        raise UserError(
            f"the reference needs {num_images} images; {source.fingerprint} has "
            f"{len(source)}"
        )
    order = order[:num_images]  # precision and recall: the first of a random order
    gathered = gather(
        batches(source, order, batch_size),
        len(order),
        extractor,
        MANIFOLD_IMAGES,
        progress,
    )
    return Reference(
        gathered.pool,
        gathered.spatial,
        gathered.features,
        source.images(order[:MANIFOLD_IMAGES]),
        source.fingerprint,
    )


def cached_reference(
    source: ImageSource,
    extractor: Extractor,
    cache_dir: str,
    num_images: int | None = None,
    **options,
) -> Reference:
    """`compute_reference`, done once for a source, number of images and extractor.

    The source's fingerprint names the data and its preprocessing, the identity the
    extractor; the file's name is a digest of both.
    """
    key = f"{source.fingerprint}|{extractor.identity}|{num_images}|{SEED}"
    digest = hashlib.sha256(key.encode()).hexdigest()[:20]
    path = os.path.join(cache_dir, f"reference-{digest}.npz")
    if os.path.exists(path):
        stored = load_reference(path, extractor)
        return dataclasses.replace(stored, origin=source.fingerprint)
    reference = compute_reference(source, extractor, num_images, **options)
    save_reference(reference, path, extractor)
    return reference


def save_reference(reference: Reference, path: str, extractor: Extractor) -> None:
    """Writes an ADM reference batch; the file appears whole or not at all."""
    arrays = {
        "mu": reference.pool.mean,
        "sigma": reference.pool.covariance,
        "extractor": np.array(extractor.identity),
    }
    if reference.pool.count is not None:
        arrays["count"] = np.array(reference.pool.count)
    if reference.spatial is not None:
        arrays["mu_s"] = reference.spatial.mean
        arrays["sigma_s"] = reference.spatial.covariance
    if reference.images is not None:
        arrays["arr_0"] = reference.images
    if reference.features is not None:
        arrays["features"] = reference.features
    folder = os.path.dirname(os.path.abspath(path))
    temporary = os.path.join(folder, f".{os.path.basename(path)}.{os.getpid()}")
    try:
        os.makedirs(folder, exist_ok=True)
        with open(temporary, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def is_reference(path: str) -> bool:
    """Whether a file is an `.npz` with statistics in it."""
    if not (path.endswith(".npz") and os.path.isfile(path)):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return "mu.npy" in archive.namelist()
    except zipfile.BadZipFile:
        return False


def load_reference(
    path: str, extractor: Extractor, batch_size: int = 64, progress=None
) -> Reference:
    """Reads an ADM reference batch, ours or the published ones.

    The features for precision and recall are computed from `arr_0` where the file does
    not hold them.

    Raises:
        UserError: no such file, pickles in it, or made with another extractor.
    """
    arrays = _read(path)
    _check_extractor(path, arrays, extractor)
    count = int(arrays["count"]) if "count" in arrays else None
    pool = _statistics(arrays, "mu", "sigma", count)
    spatial = (
        _statistics(arrays, "mu_s", "sigma_s", count) if "mu_s" in arrays else None
    )
    features, images = arrays.get("features"), arrays.get("arr_0")
    if images is not None and (images.dtype != np.uint8 or images.ndim != 4):
        raise UserError(f"{path}: arr_0 must be uint8 images, not {images.dtype}")
    if features is None and images is not None:
        gathered = gather(
            (images[i : i + batch_size] for i in range(0, len(images), batch_size)),
            len(images),
            extractor,
            len(images),
            progress,
        )
        features = gathered.features
    if features is not None and features.shape[1:] != pool.mean.shape:
        raise UserError(
            f"{path} has statistics of {len(pool.mean)} channels, the extractor "
            f"{features.shape[1]}: it was made with other features"
        )
    return Reference(pool, spatial, features, images, os.path.basename(path))


def _read(path: str) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("a single array")
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is no .npz that can be read without executing pickles: {error}"
        ) from error
    missing = {"mu", "sigma"} - set(arrays)
    if missing:
        raise UserError(f"{path} lacks {', '.join(sorted(missing))}")
    return arrays


def _check_extractor(path: str, arrays: dict, extractor: Extractor) -> None:
    if "extractor" in arrays:
        made_with = str(arrays["extractor"])
        same = made_with == extractor.identity
    else:  # a published file: all of them are of the 2015 graph
        made_with = "the 2015 Inception graph"
        same = extractor.identity.startswith("inception_graph:")
    if not same:
        raise UserError(
            f"{path} was made with {made_with}, not {extractor.identity}: choose the "
            "same --features or compute it again from the images"
        )


def _statistics(arrays, mean: str, covariance: str, count) -> FeatureStatistics:
    return FeatureStatistics(
        arrays[mean].astype(np.float64), arrays[covariance].astype(np.float64), count
    )
