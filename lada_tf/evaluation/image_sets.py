"""Image sets to evaluate: generated images, or images that any program wrote."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from lada_tf.data.decoding import BadImage, decode
from lada_tf.data.opening import open_reader
from lada_tf.data.readers import Item
from lada_tf.errors import UserError
from lada_tf.sampling.grids import to_uint8


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images to evaluate, generated or read in batches.

    Attributes:
        origin: where the images come from, as JSON values for the record.
        image_size: height and width in pixels.
        num_images: number of images; None if unlimited.
        batches: maps a number of images to an iterator of uint8 arrays
            (n, image_size, image_size, 3).
    """

    origin: dict
    image_size: int
    num_images: int | None
    batches: Callable[[int], Iterator[np.ndarray]]


def generated_images(
    generator: keras.Model, latent_dim: int, seed: int = 0, batch_size: int = 64
) -> ImageSet:
    """Return the unlimited set of the images of a generator, rounded to uint8.

    The generator, a `Generator` or a model with `image_size`, maps float32 latents
    (n, latent_dim) to images in [-1, 1]. The latents are one stream of standard normal
    numbers from NumPy, the same for any batch size, machine and device. Batches raise
    UserError if a pixel is NaN or infinite.
    """

    @tf.function(reduce_retracing=True)
    def uint8_generator(latents):
        images = generator(latents, training=False)
        return to_uint8(images), tf.reduce_all(tf.math.is_finite(images))

    def batches(num_images: int) -> Iterator[np.ndarray]:
        random = np.random.default_rng(seed)
        for start in range(0, num_images, batch_size):
            count = min(batch_size, num_images - start)
            latents = random.standard_normal((count, latent_dim))
            images, finite = uint8_generator(latents.astype(np.float32))
            if not finite:
                raise UserError(
                    "the generator returns NaN or infinite pixels: its training "
                    "diverged"
                )
            yield images.numpy()

    return ImageSet({"seed": seed}, generator.image_size, None, batches)


def stored_images(images: str, batch_size: int = 64) -> ImageSet:
    """Open images that any program wrote. They are not cropped or resized.

    Args:
        images: path of a directory or a `.zip`, `.npz` or `.npy` file, or another data
            source of `lada_tf.data`.
        batch_size: images per batch.

    Raises:
        UserError: there are no images, or an image is unreadable or not square.
    """
    try:
        reader = open_reader(images)
    except UserError as error:
        raise UserError(str(error).replace("data=", "images=", 1)) from error
    height, width = _load(next(reader.items(0, 1))).shape[:2]
    if height != width:
        raise UserError(f"images={images}: must be square, not {width}x{height}")

    def batches(num_images: int) -> Iterator[np.ndarray]:
        items = reader.items(0, num_images)
        while batch := list(itertools.islice(items, batch_size)):
            yield np.stack([_load(item, height) for item in batch])

    origin = {"images": reader.fingerprint(height, "unchanged", len(reader))}
    return ImageSet(origin, height, len(reader), batches)


def _load(item: Item, image_size: int | None = None) -> np.ndarray:
    """Return the image of a reader's item, uint8 (height, width, 3)."""
    try:
        image = item.load()
        if isinstance(image, bytes):
            image = decode(image)
    except BadImage as error:
        raise UserError(f"{item.name}: {error}") from error
    if image_size and image.shape[:2] != (image_size, image_size):
        raise UserError(
            f"{item.name} is {image.shape[1]}x{image.shape[0]}, but the first image is "
            f"{image_size}x{image_size}: all images must have the same size"
        )
    return image
