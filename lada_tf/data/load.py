"""Decodes a reader's images at the training size, in parallel and in order."""

import collections
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from absl import logging
from tqdm import tqdm

from lada_tf.data.decode import decode_all
from lada_tf.data.reader import BadImage, Item, Reader
from lada_tf.data.resize import RESIZES, Resize
from lada_tf.data.source import aligned_empty
from lada_tf.errors import UserError

ON_BAD_IMAGE = ("error", "skip")
# Items a worker takes at once: small images decode in less time than a hand-over costs.
_CHUNK = 64
# Bytes of files that it then reads ahead of decoding: photographs go a few at a time.
_READ_AHEAD = 2**22


class Bad(NamedTuple):
    """An image that cannot be used, and why."""

    name: str
    reason: str


@dataclass
class BadImages:
    """What to do about images that cannot be used, and those met so far."""

    policy: str = "error"
    met: list[Bad] = field(default_factory=list)

    def __post_init__(self):
        if self.policy not in ON_BAD_IMAGE:
            raise UserError(f"on_bad_image must be error or skip, not {self.policy!r}")

    def report(self, bad: Bad) -> None:
        """Raises UserError under the policy "error"; else logs and remembers."""
        if self.policy == "error":
            raise UserError(
                f"{bad.name}: {bad.reason} (--on_bad_image=skip leaves such images out)"
            )
        logging.warning("left out %s: %s", bad.name, bad.reason)
        self.met.append(bad)

    def summarize(self, total: int) -> None:
        if self.met:
            logging.warning("left out %d bad images of %d", len(self.met), total)


def decoded(
    reader: Reader,
    size: int,
    resize: str,
    start: int,
    stop: int,
    into: np.ndarray | None = None,
) -> Iterator[np.ndarray | Bad]:
    """Images [start, stop) in order: uint8 (size, size, 3), or Bad.

    `into`, uint8 (stop - start, size, size, 3), is memory that the workers put each
    image in, at its own index: copying is then not left to the one who iterates.
    """
    workers = 2 * (os.cpu_count() or 1)  # half may wait for files
    begin = 0
    pending: collections.deque[Future] = collections.deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        for chunk in _chunks(reader.items(start, stop), stop - start, workers):
            if into is None:
                places = np.empty((len(chunk), size, size, 3), np.uint8)
            else:
                places = into[begin : begin + len(chunk)]
            begin += len(chunk)
            pending.append(pool.submit(_read, chunk, size, RESIZES[resize], places))
            if len(pending) > 2 * workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        # Without waiting: after an error this may run in a worker, as garbage.
        pool.shutdown(wait=False, cancel_futures=True)


def _read(
    items: list[Item], size: int, resize: Resize, places: np.ndarray
) -> list[np.ndarray | Bad]:
    images: list[np.ndarray | Bad] = []
    for part in _read_ahead(items):
        decoded = decode_all([data for _, data in part if isinstance(data, bytes)])
        for item, data in part:
            image = next(decoded) if isinstance(data, bytes) else data
            if not isinstance(image, BadImage):
                image = _unless_bad(partial(resize, image, size))
            if isinstance(image, BadImage):
                images.append(Bad(item.name, str(image)))
            else:
                place = places[len(images)]
                place[:] = image
                images.append(place)
    return images


def _read_ahead(items: list[Item]) -> Iterator[list[tuple[Item, Any]]]:
    """Each item with its bytes, array or BadImage, in parts of some `_READ_AHEAD`."""
    part, size = [], 0
    for item in items:
        data = _unless_bad(item.load)
        part.append((item, data))
        size += len(data) if isinstance(data, bytes) else 0
        if size >= _READ_AHEAD:
            yield part
            part, size = [], 0
    yield part


def _unless_bad(function: Callable) -> Any:
    try:
        return function()
    except BadImage as bad:
        return bad


def _chunks(items: Iterator[Item], left: int, workers: int) -> Iterator[list[Item]]:
    """Chunks that shrink towards the end, so that all workers end at about once."""
    while left > 0:
        chunk = min(_CHUNK, -(-left // (2 * workers)))
        left -= chunk
        yield list(itertools.islice(items, chunk))


def load_into_memory(
    reader: Reader, size: int, resize: str, bad_images: BadImages
) -> np.ndarray:
    """Every usable image: uint8 (n, size, size, 3)."""
    images = aligned_empty((len(reader), size, size, 3))
    count = 0
    every = decoded(reader, size, resize, 0, len(reader), into=images)
    for index, image in enumerate(progress(every, len(reader), "decoding")):
        if isinstance(image, Bad):
            bad_images.report(image)
        else:
            if count < index:  # moves up to where bad ones were left out
                images[count] = image
            count += 1
    return images[:count]


def progress(items: Iterable | None, total: int, description: str) -> tqdm:
    """A bar on stderr for what takes longer than two seconds, on a terminal."""
    return tqdm(items, description, total, unit="image", delay=2, disable=None)
