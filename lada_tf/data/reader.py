"""What every place that images come from offers: named items in a fixed order."""

import abc
import hashlib
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np


class BadImage(Exception):
    """One image cannot be used; the message says why, the caller knows which."""


class Item(NamedTuple):
    """One image, not yet read.

    Attributes:
        name: how reports name it: a path, or a file and a key or number in it.
        load: returns an encoded file (bytes) or a decoded uint8 (H, W, 3) array. Runs
            in worker threads, several at a time.
    """

    name: str
    load: Callable[[], bytes | np.ndarray]


class Reader(abc.ABC):
    """Images of any size in a fixed order.

    Attributes:
        kind: one word: "folder", "zip", ...
        identity: a string that changes when the images do and does not when they are
            moved; it goes into the fingerprint.
    """

    kind: str
    identity: str

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of images, unreadable ones included."""

    @abc.abstractmethod
    def items(self, start: int, stop: int) -> Iterator[Item]:
        """Items [start, stop) in order."""


def natural_key(name: str) -> tuple[str, str]:
    """Sorts `2.png` before `10.png`; names that are equal so far, as text."""
    return _NUMBER.sub(_padded, name), name


_NUMBER = re.compile("[0-9]+")


def _padded(number: re.Match) -> str:
    """All of one length, for which numbers' order is that of text; 255: a file name."""
    return number[0].zfill(255)


def digest(*parts: object) -> str:
    """SHA-256 of the parts' text."""
    lines = "\n".join(map(str, parts))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
