"""The metrics of a set of images, and a record of how they were computed."""

import importlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tqdm

from lada_tf.errors import UserError
from lada_tf.evaluation.distances import (
    frechet_distance_of_statistics,
    kid,
    kid_subsets,
)
from lada_tf.evaluation.extract_features import Extractor, FeatureSet, compute_features
from lada_tf.evaluation.image_sets import ImageSet
from lada_tf.evaluation.inception_score import chunk_scores, inception_score
from lada_tf.evaluation.memorization_report import MemorizationTest
from lada_tf.evaluation.precision_recall import density_coverage, precision_recall
from lada_tf.evaluation.protocols import Protocol
from lada_tf.evaluation.reference import Reference, open_reference, save_reference
from lada_tf.models.latents import MAX_SEED

NEAREST_K = 3  # of precision and recall
BALLS_K = 5  # of density and coverage
# With fewer images, the bias of FID is as large as differences between good models.
UNBIASED_IMAGES = 10_000
# Ten halves of 10,000 images take 10 minutes of CPU time with Inception features, and
# those of 50,000 images four times as long.
RESAMPLES, MAX_RESAMPLED_IMAGES = 10, 10_000
MIN_HALVED = 40  # with fewer images, some metrics of a half cannot be computed
DEVIATION = " std"  # end of the names of deviations
Settings = tuple[Reference, Extractor, int, str]  # of `compute_metrics`
PACKAGES = ("lada_tf", "keras", "numpy", "scipy", "tensorflow")


def evaluate_each(
    image_sets: Iterable[ImageSet],
    protocol: Protocol,
    extractor: Extractor,
    *,
    splits: int = 10,
    arithmetic: str = "float64",
    batch_size: int = 64,
    cache_dir: str | None = None,
    export_reference: str | None = None,
    repeats: int = 1,
    resamples: int | None = None,
    memorization: MemorizationTest | None = None,
    **source_options: Any,
) -> Iterator[dict]:
    """Compare each set of images with the same real images, and yield its record.

    A record has JSON values: the metrics, and everything needed to repeat them.

    Args:
        image_sets: the generated images. All sets have images of one size.
        protocol: the real images, and the number of images on both sides.
        extractor: the feature extractor.
        splits: number of parts for the original Inception score.
        arithmetic: as for `precision_recall`.
        batch_size: real images per batch.
        cache_dir: directory of cached statistics; by default `default_cache_dir()`.
        export_reference: path of an ADM reference file to write for the real images.
        repeats: number of seeds: the seed of the set, and the next ones. The metrics
            are means over these seeds, and the spread is their standard deviation.
        resamples: with one seed, estimate the spread from this number of random halves
            of the generated images. See `spread_of_halves`. The default is 10 for up to
            10,000 images and 0 for more.
        memorization: test whether the images of the first seed are copies, and add the
            result to the record.
        source_options: the arguments on_bad_image, memory_limit and download of
            `open_source`, for the real images.

    Raises:
        UserError: the two sides have different sizes, an image set is too small, or
            `repeats` is above 1 and the images have no seed.
    """
    reference = None
    for images in image_sets:
        num_generated = _check_number(images, protocol)
        if resamples is None:
            resamples = RESAMPLES if num_generated <= MAX_RESAMPLED_IMAGES else 0
        seeds = _of_seeds(images, repeats)
        if memorization:
            seeds[0] = memorization.watch(seeds[0])
        if reference is None:
            _check_size(images.image_size, protocol.image_size)
            reference = open_reference(
                protocol,
                images.image_size,
                memorization.remember(extractor) if memorization else extractor,
                cache_dir,
                batch_size,
                **source_options,
            )
            features = reference.features
            if features is not None and len(features) <= BALLS_K:
                raise UserError(
                    f"real={protocol.real} has {len(features)} images; density and "
                    f"coverage need at least {BALLS_K + 1}"
                )
            if reference.images is not None:
                _check_size(images.image_size, reference.images.shape[1])
            if export_reference:
                save_reference(reference, export_reference, extractor)
        settings = reference, extractor, splits, arithmetic
        measured, features = _measure(seeds, num_generated, settings, resamples)
        record = {
            **measured,
            "protocol": protocol.name,
            "num_generated": num_generated,
            "repeats": repeats,
            **images.origin,
            **_describe(reference, extractor, num_generated),
            "inception_score": f"chunks of 5,000; {splits} splits",
            "precision_recall": {"nearest_k": NEAREST_K, "arithmetic": arithmetic},
            "density_coverage": {"nearest_k": BALLS_K},
            "versions": {
                name: importlib.import_module(name).__version__ for name in PACKAGES
            },
        }
        if memorization:
            record["memorization"] = memorization.report(images, features, extractor)
        yield record


def compute_metrics(
    generated: FeatureSet,
    reference: Reference,
    extractor: Extractor,
    splits: int = 10,
    arithmetic: str = "float64",
) -> dict[str, float]:
    """Compute FID, sFID, KID, Inception scores, precision, recall, density, coverage.

    Metrics whose features the extractor or the reference lacks are left out. The other
    arguments are those of `evaluate_each`.

    Returns:
        The value of each metric by its name, `extractor.metric_name("FID")` etc.
    """
    metrics = {"FID": frechet_distance_of_statistics(reference.pool, generated.pool)}
    if generated.spatial and reference.spatial:
        metrics["sFID"] = frechet_distance_of_statistics(
            reference.spatial, generated.spatial
        )
    probabilities = generated.probabilities
    if probabilities is not None:
        metrics["IS"] = inception_score(probabilities)
        if len(probabilities) >= splits:
            name, scores = f"IS of {splits} splits", chunk_scores(probabilities, splits)
            metrics[name], metrics[name + DEVIATION] = scores.mean(), scores.std()
    if reference.features is not None:
        sides = reference.features, generated.features
        metrics["KID"], deviation = kid(*sides)
        if kid_subsets(*map(len, sides))[0] > 1:
            metrics["KID" + DEVIATION] = deviation
        metrics["precision"], metrics["recall"] = precision_recall(
            *sides, NEAREST_K, arithmetic
        )
        metrics["density"], metrics["coverage"] = density_coverage(*sides, BALLS_K)
    return {extractor.metric_name(name): float(v) for name, v in metrics.items()}


def spread_of_halves(
    generated: FeatureSet,
    reference: Reference,
    extractor: Extractor,
    splits: int = 10,
    arithmetic: str = "float64",
    resamples: int = RESAMPLES,
) -> dict[str, float]:
    """Estimate how much each metric differs between sets of images of one generator.

    A random half, drawn without replacement, deviates from the whole set as much as the
    whole set deviates from the population. So the standard deviation over random halves
    estimates that of a metric (McCarthy 1969). A bootstrap with replacement would fail,
    because repeated images are their own nearest neighbors.

    Returns:
        The standard deviation of each metric by name. Empty for few images.
    """
    count = generated.pool.count or 0
    if resamples < 2 or count < MIN_HALVED:
        return {}
    random = np.random.default_rng(0)
    results = []
    for _ in tqdm.trange(resamples, desc="resampling", delay=2, disable=None):
        half = generated.subset(np.sort(random.permutation(count)[: count // 2]))
        results.append(compute_metrics(half, reference, extractor, splits, arithmetic))
    return _deviations(results)


def _measure(
    seeds: list[ImageSet], num_generated: int, settings: Settings, resamples: int
) -> tuple[dict, np.ndarray]:
    """Return the metrics and their spread, and the features of the first seed."""
    results = []
    for number, images in enumerate(seeds):
        features = compute_features(
            images.batches(num_generated),
            num_generated,
            settings[1],
            progress="generated",
            keep_spatial=len(seeds) == 1 and resamples > 0,
        )
        results.append(compute_metrics(features, *settings))
        if not number:
            first = features.features
    if len(seeds) > 1:
        spread, spread_of = _deviations(results), f"{len(seeds)} seeds"
    else:
        spread = spread_of_halves(features, *settings, resamples)
        spread_of = f"{resamples} random halves"
    names = results[0]
    measured = {
        "metrics": {name: float(np.mean([r[name] for r in results])) for name in names},
        "spread": spread,
        "spread_of": spread_of if spread else None,
    }
    return measured, first


def _describe(reference: Reference, extractor: Extractor, num_generated: int) -> dict:
    """Return the part of the record that describes the real images and features."""
    num_real = reference.pool.count
    few = None if reference.features is None else len(reference.features)
    record = {
        "reference": {
            "source": reference.origin,
            "num_images": num_real,
            "num_manifold_images": few,
        },
        "features": extractor.identity,
    }
    if few is not None:
        subsets, size = kid_subsets(few, num_generated)
        record["kid"] = {"subsets": subsets, "subset_size": size}
    if min(num_generated, num_real or num_generated) < UNBIASED_IMAGES:
        record["note"] = (
            f"{extractor.metric_name('FID')} of fewer than {UNBIASED_IMAGES:,} images "
            f"is biased upwards: prefer {extractor.metric_name('KID')}, which is not"
        )
    return record


def _deviations(results: list[dict[str, float]]) -> dict[str, float]:
    if len(results) < 2:
        return {}
    deviations = {}
    for name in results[0]:
        values = [result[name] for result in results if name in result]
        is_deviation = name.partition(" (")[0].endswith(DEVIATION)
        if len(values) == len(results) and not is_deviation:
            deviations[name] = float(np.std(values, ddof=1))
    return deviations


def _of_seeds(images: ImageSet, repeats: int) -> list[ImageSet]:
    if repeats == 1:
        return [images]
    if images.of_seed is None:
        raise UserError(
            f"repeats={repeats}: only a model can generate images of other seeds. Set "
            "repeats=1"
        )
    seed = images.origin["seed"]
    if seed + repeats - 1 > MAX_SEED:
        raise UserError(
            f"repeats={repeats}: seed={seed} is too large, because the last seed must "
            f"be at most {MAX_SEED}. Choose a smaller seed"
        )
    return [images.of_seed(seed + number) for number in range(repeats)]


def _check_number(images: ImageSet, protocol: Protocol) -> int:
    """Return the number of generated images."""
    number = protocol.num_generated or images.num_images
    if number is None:
        raise UserError(
            "a model needs the number of images to generate: set num_generated=N "
            "(50000 is usual), or a protocol"
        )
    if number <= NEAREST_K:
        raise UserError(
            f"num_generated={number}: precision and recall need at least "
            f"{NEAREST_K + 1} images"
        )
    if images.num_images is not None and number > images.num_images:
        raise UserError(
            f"num_generated={number}: there are only {images.num_images} images. Add "
            "images, or set a smaller num_generated or another protocol"
        )
    return number


def _check_size(generated: int, real: int | None) -> None:
    if real and generated != real:
        raise UserError(
            f"generated images are {generated}x{generated}, but real images are "
            f"{real}x{real}: compare images of the same size"
        )
