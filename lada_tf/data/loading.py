"""Decode the images of a reader in parallel and in order, at the training size."""

import collections
import itertools
import mmap
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from absl import logging
from tqdm import tqdm

from lada_tf.data.decoding import BadImage, decode
from lada_tf.data.readers import Item, Reader
from lada_tf.data.resize import RESIZES, Resize
from lada_tf.errors import UserError

ON_BAD_IMAGE = ("error", "skip")
_IMAGES_PER_TASK = 16  # decoding one small image costs less than submitting a task


class Failure(NamedTuple):
    """Name of an image that cannot be used, and the reason."""

    name: str
    reason: str


@dataclass
class BadImages:
    """What to do about images that cannot be used, and the images skipped so far."""

    on_bad_image: str = "error"
    skipped: list[Failure] = field(default_factory=list)

    def __post_init__(self):
        if self.on_bad_image not in ON_BAD_IMAGE:
            raise UserError(f"on_bad_image={self.on_bad_image}: must be error or skip")

    def report(self, failure: Failure) -> None:
        """Log and remember a skipped image, or raise UserError if it is an error."""
        name, reason = failure
        if self.on_bad_image == "error":
            raise UserError(f"{name}: {reason}. Skip bad images with on_bad_image=skip")
        logging.warning("skipped %s: %s", name, reason)
        self.skipped.append(failure)


def decode_images(
    reader: Reader, image_size: int, resize: str, start: int, stop: int
) -> Iterator[np.ndarray | Failure]:
    """Decode and resize the images [start, stop) of a reader.

    Yields:
        For each image in order: uint8 (image_size, image_size, 3), or a `Failure`.
    """
    items = reader.items(start, stop)
    num_threads = 2 * (os.cpu_count() or 1)  # half of them may wait for files
    pending: collections.deque[Future] = collections.deque()
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="decode")
    try:
        while task := list(itertools.islice(items, _IMAGES_PER_TASK)):
            pending.append(pool.submit(_decode, task, image_size, RESIZES[resize]))
            if len(pending) > 2 * num_threads:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        # Waiting could deadlock: garbage collection may run this in a worker thread.
        pool.shutdown(wait=False, cancel_futures=True)


def _decode(
    items: list[Item], image_size: int, resize: Resize
) -> list[np.ndarray | Failure]:
    images: list[np.ndarray | Failure] = []
    for item in items:
        try:
            data = item.load()
            image = decode(data) if isinstance(data, bytes) else data
            images.append(resize(image, image_size))
        except BadImage as error:
            images.append(Failure(item.name, str(error)))
    return images


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
            images[count] = image
            count += 1
    return images[:count]


def progress_bar(
    items: Iterable, total: int, description: str, initial: int = 0
) -> tqdm:
    """Show progress on a terminal if the work takes longer than two seconds."""
    return tqdm(
        items, description, total, unit="image", initial=initial, delay=2, disable=None
    )
