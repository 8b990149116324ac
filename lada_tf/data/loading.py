"""Decode the images of a reader in parallel and in order, at the training size."""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from absl import logging

from lada_tf.data.decoding import BadImage, decode
from lada_tf.data.readers import Item, Reader
from lada_tf.data.resize import RESIZES, pad
from lada_tf.errors import UserError
from lada_tf.runtime import parallel_map, progress_bar

ON_BAD_IMAGE = ("error", "skip")


class Decoded(NamedTuple):
    """An image at the training size, uint8 (size, size, 3)."""

    pixels: np.ndarray
    enlarged: bool


class Failure(NamedTuple):
    """Name of an image that cannot be used, and the reason."""

    name: str
    reason: str


@dataclass
class BadImages:
    """How to treat images that cannot be used, and which ones were skipped."""

    on_bad_image: str = "error"
    skipped: list[Failure] = field(default_factory=list)
    enlarged: int = 0

    def __post_init__(self):
        if self.on_bad_image not in ON_BAD_IMAGE:
            raise UserError(f"on_bad_image={self.on_bad_image}: must be error or skip")

    def report(self, failure: Failure) -> None:
        """Log and remember a skipped image, or raise UserError if it is an error."""
        reason = failure.reason
        name = "".join(c if c.isprintable() else "�" for c in failure.name)
        if self.on_bad_image == "error":
            raise UserError(f"{name}: {reason}. Skip bad images with on_bad_image=skip")
        logging.warning("skipped %s: %s", name, reason)
        self.skipped.append(failure)

    def log_summary(self, total: int) -> None:
        """Log how many of `total` images were skipped or enlarged, if any."""
        if self.skipped:
            logging.warning("skipped %d of %d images", len(self.skipped), total)
        if self.enlarged:
            logging.warning(
                "enlarged %d of %d images: they are smaller than image_size, so "
                "the generator will make blurred images",
                self.enlarged,
                total,
            )


def decode_item(item: Item) -> np.ndarray:
    """Return the pixels of an image: RGB, uint8 (H, W, 3). Raise BadImage."""
    data = item.load()
    return decode(data) if isinstance(data, bytes) else data


def decode_images(
    reader: Reader, image_size: int, resize: str, start: int, stop: int
) -> Iterator[Decoded | Failure]:
    """Decode and resize the images [start, stop) of a reader, in order."""
    resize_image = RESIZES[resize]

    def decode_one(item: Item) -> Decoded | Failure:
        try:
            image = decode_item(item)
            pixels = resize_image(image, image_size)
        except BadImage as error:
            return Failure(item.name, str(error))
        is_small = min(image.shape[:2]) < image_size
        return Decoded(pixels, is_small and resize_image is not pad)

    return parallel_map(decode_one, reader.items(start, stop))


def load_into_memory(
    reader: Reader, image_size: int, resize: str, bad_images: BadImages
) -> np.ndarray:
    """Decode all usable images of a reader: uint8 (n, image_size, image_size, 3)."""
    # Memory of whole pages is aligned, so that TensorFlow can share it.
    memory = mmap.mmap(-1, len(reader) * 3 * image_size**2)
    images = np.frombuffer(memory, np.uint8).reshape(-1, image_size, image_size, 3)
    count = 0
    decoded = decode_images(reader, image_size, resize, 0, len(reader))
    for image in progress_bar(decoded, len(reader), "decoding"):
        if isinstance(image, Failure):
            bad_images.report(image)
        else:
            images[count] = image.pixels
            bad_images.enlarged += image.enlarged
            count += 1
    return images[:count]
