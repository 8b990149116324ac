"""Image sources: decoded images of one size, accessed by index."""

import abc

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from lada_tf.data.order import SUBSET, permutation
from lada_tf.errors import UserError

_ALIGNMENT = 64  # bytes; TensorFlow requires it of memory that it does not own


class ImageSource(abc.ABC):
    """Decoded images of one size in a fixed order, accessed by index.

    Attributes:
        image_size: Height and width in pixels.
        resize: How the images got this size, a name in `lada_tf.data.resize`.
        fingerprint: A short string that identifies the images. It contains the kind
            and digest of the data, image size, resize and number of images, but no
            path. Equal fingerprints mean equal images in the same order. A run
            directory stores it, so that training never resumes with different data.
    """

    image_size: int
    resize: str
    fingerprint: str

    @abc.abstractmethod
    def __len__(self) -> int:
        """Return the number of images."""

    @abc.abstractmethod
    def gather(self, indices: tf.Tensor) -> tf.Tensor:
        """Return images by index, using TensorFlow operations only.

        Args:
            indices: int64 (n,) in [0, len(self)), in any order, may repeat.

        Returns:
            uint8 (n, image_size, image_size, 3), RGB.
        """

    def images(self, indices: ArrayLike) -> np.ndarray:
        """Return `gather(indices)` as a NumPy array."""
        # On a GPU, TensorFlow would copy the whole source to the device.
        with tf.device("CPU:0"):
            return self.gather(tf.constant(indices, tf.int64)).numpy()


class MemorySource(ImageSource):
    """Images in memory, from a uint8 array (N, size, size, 3)."""

    def __init__(self, array: np.ndarray, fingerprint: str, resize: str = "unchanged"):
        self.image_size = array.shape[1]
        self.resize = resize
        self.fingerprint = fingerprint
        self._images = as_tensor(array)

    def __len__(self) -> int:
        return len(self._images)

    def gather(self, indices: tf.Tensor) -> tf.Tensor:
        return tf.gather(self._images, indices)


class SubsetSource(ImageSource):
    """A random subset of a source, to study data efficiency (Table III of the paper).

    `subset` is the fraction of the images to keep, in (0, 1]; at least 1 is kept.
    Subsets with the same seed are nested: a larger subset contains the smaller one.
    """

    def __init__(self, source: ImageSource, subset: float, subset_seed: int):
        if not 0 < subset <= 1:
            raise UserError(f"subset={subset}: must be above 0 and at most 1")
        if subset_seed < 0:
            raise UserError(f"subset_seed={subset_seed}: must be at least 0")
        count = max(1, round(subset * len(source)))
        self.image_size = source.image_size
        self.resize = source.resize
        self.fingerprint = f"{source.fingerprint}:{count}@{subset_seed}"
        self._source = source
        with tf.device("CPU:0"):
            order = permutation(len(source), subset_seed, 0, SUBSET)
            self._indices = tf.cast(tf.sort(order[:count]), tf.int64)

    def __len__(self) -> int:
        return len(self._indices)

    def gather(self, indices: tf.Tensor) -> tf.Tensor:
        return self._source.gather(tf.gather(self._indices, indices))


def as_tensor(array: np.ndarray) -> tf.Tensor:
    """Return the array as a tensor on the CPU that shares its memory if possible."""
    with tf.device("CPU:0"):
        can_share = array.size and array.flags.c_contiguous and array.flags.writeable
        if not can_share or array.ctypes.data % _ALIGNMENT:
            return tf.constant(array)
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
