"""What every data set becomes: square uint8 images by index."""

import abc
import hashlib

import numpy as np


class ImageSource(abc.ABC):
    """Images of one size, decoded, in a fixed order, reached by index.

    Attributes:
        image_size: height and width in pixels.
        fingerprint: a short string that names the data: kind, digest of what was read,
            size, recipe, count. Equal fingerprints mean equal images in equal order, so
            that a run folder can refuse other data; where the files lie is not in it.
    """

    image_size: int
    fingerprint: str

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abc.abstractmethod
    def images(self, indices: np.ndarray) -> np.ndarray:
        """Reads images.

        Args:
            indices: integers (n,) in [0, len(self)), any order, repeats allowed.

        Returns:
            uint8 (n, image_size, image_size, 3), RGB, a new array.
        """


class MemorySource(ImageSource):
    """Images held in one uint8 array (N, size, size, 3)."""

    def __init__(self, array: np.ndarray, fingerprint: str):
        self.image_size = array.shape[1]
        self.fingerprint = fingerprint
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def images(self, indices: np.ndarray) -> np.ndarray:
        return np.take(self._array, indices, axis=0)


def fingerprint(kind: str, identity: str, size: int, recipe: str, count: int) -> str:
    """Joins what defines a source; `identity` is digested to 12 hex digits."""
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return f"{kind}:{digest}:{size}px:{recipe}:{count}"
