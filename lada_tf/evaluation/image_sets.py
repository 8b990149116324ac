"""Image sets to evaluate: generated images, or images that any program wrote."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lada_tf.data import open_source
from lada_tf.data.opening import naming_argument
from lada_tf.evaluation.statistics import split_rows
from lada_tf.sampling import Sampler, Samples


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images to evaluate, generated or read in batches.

    Attributes:
        origin: where the images come from, as JSON values for the record.
        image_size: height and width in pixels.
        num_images: number of images; None if unlimited.
        batches: maps a number of images to an iterator of uint8 arrays
            (n, image_size, image_size, 3).
        select: maps indices of images to one such array.
        of_seed: maps a seed to its image set; None if the images have no seed.
    """

    origin: dict
    image_size: int
    num_images: int | None
    batches: Callable[[int], Iterator[np.ndarray]]
    select: Callable[[np.ndarray], np.ndarray]
    of_seed: Callable[[int], "ImageSet"] | None = None


def generated_images(generator: Any, seed: int = 0, batch_size: int = 64) -> ImageSet:
    """Return the unlimited set of the images of a generator.

    Args:
        generator: see `lada_tf.sampling.Sampler`.
        seed: seed of the latents.
        batch_size: images per batch.
    """
    sampler = Sampler(generator)

    def of_seed(seed: int) -> ImageSet:
        def batches(num_images: int) -> Iterator[np.ndarray]:
            samples = Samples.of_seed(seed, num_images)
            return (batch.images for batch in sampler.batches(samples, batch_size))

        def select(indices: np.ndarray) -> np.ndarray:
            samples = Samples(np.full(len(indices), seed), np.asarray(indices))
            parts = [batch.images for batch in sampler.batches(samples, batch_size)]
            return np.concatenate(parts)

        origin, size = {"seed": seed}, generator.image_size
        return ImageSet(origin, size, None, batches, select, of_seed)

    return of_seed(seed)


def stored_images(images: str, batch_size: int = 64, **source_options: Any) -> ImageSet:
    """Open images that any program wrote. They are not cropped or resized.

    They are read as training reads them, and kept in memory or in the cache directory.

    Args:
        images: path of a directory or a `.zip`, `.npz` or `.npy` file, or another data
            source of `lada_tf.data`.
        batch_size: images per batch.
        source_options: the arguments on_bad_image, memory_limit, cache_dir and download
            of `open_source`.

    Raises:
        UserError: there are no images, or an image is unreadable, not square or of
            another size than the first.
    """
    with naming_argument("images"):
        source = open_source(images, None, **source_options)

    def batches(num_images: int) -> Iterator[np.ndarray]:
        for part in split_rows(np.arange(num_images), batch_size):
            yield source.images(part)

    origin = {"images": source.fingerprint}
    return ImageSet(origin, source.image_size, len(source), batches, source.images)
