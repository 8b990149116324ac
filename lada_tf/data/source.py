"""What every data set becomes: square uint8 images by index."""

import abc
import hashlib

import numpy as np
import tensorflow as tf

_ALIGNMENT = 64  # bytes, which TensorFlow asks of memory that it does not own


class ImageSource(abc.ABC):
    """Images of one size, decoded, in a fixed order, reached by index.

    Attributes:
        image_size: height and width in pixels.
        fingerprint: a short string that names the data: kind, digest of what was read,
            size, resize, count. Equal fingerprints mean equal images in equal order, so
            that a run folder can refuse other data; where the files lie is not in it.
    """

    image_size: int
    fingerprint: str

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abc.abstractmethod
    def gather(self, indices: tf.Tensor) -> tf.Tensor:
        """Images as TensorFlow operations, so that no Python runs in a pipeline.

        Args:
            indices: int64 (n,) in [0, len(self)), any order, repeats allowed.

        Returns:
            uint8 (n, image_size, image_size, 3), RGB.
        """

    def images(self, indices) -> np.ndarray:
        """`gather` for NumPy: integers (n,) -> uint8 (n, size, size, 3)."""
        with tf.device("CPU:0"):  # or the whole source would be copied to the GPU
            return self.gather(tf.constant(indices, tf.int64)).numpy()


class MemorySource(ImageSource):
    """Images held in one uint8 array (N, size, size, 3)."""

    def __init__(self, array: np.ndarray, fingerprint: str):
        self.image_size = array.shape[1]
        self.fingerprint = fingerprint
        self._images = as_tensor(array)

    def __len__(self) -> int:
        return len(self._images)

    def gather(self, indices: tf.Tensor) -> tf.Tensor:
        return tf.gather(self._images, indices)


def aligned_empty(shape: tuple[int, ...]) -> np.ndarray:
    """An uninitialized uint8 array that `as_tensor` need not copy."""
    size = int(np.prod(shape))
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].reshape(shape)


def as_tensor(array: np.ndarray) -> tf.Tensor:
    """The array as a tensor on the CPU, in the same memory where that is possible."""
    with tf.device("CPU:0"):
        shared = array.size and array.flags.c_contiguous and array.flags.writeable
        if not shared or array.ctypes.data % _ALIGNMENT:
            return tf.constant(array)
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def fingerprint(kind: str, identity: str, size: int, resize: str, count: int) -> str:
    """Joins what defines a source; `identity` is digested to 12 hex digits."""
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return f"{kind}:{digest}:{size}px:{resize}:{count}"
