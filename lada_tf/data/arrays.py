"""Images in arrays: the embedded portraits, NumPy files and IDX files (MNIST's format).

IDX is specified at http://yann.lecun.com/exdb/mnist.
"""

import gzip
import hashlib
import importlib.resources
import math
import os
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial

import numpy as np

from lada_tf.data.readers import Item, Reader
from lada_tf.errors import UserError

FASHION_MNIST_DIR = "/usr/share/datasets/fashion-mnist"
_FASHION_MNIST_FILES = {
    "train": "train-images-idx3-ubyte.gz",
    "test": "t10k-images-idx3-ubyte.gz",
}
# Two zero bytes, element type (8: unsigned byte), number of dimensions.
_IDX_MAGIC = (b"\0\0\x08\x03", b"\0\0\x08\x04")


class ArrayReader(Reader):
    """Images in one uint8 array: (N, H, W), (N, H, W, 1) or (N, H, W, 3)."""

    def __init__(self, kind: str, name: str, array: np.ndarray):
        if array.ndim == 3:
            array = array[..., np.newaxis]
        if array.ndim != 4 or array.shape[-1] not in (1, 3) or array.dtype != np.uint8:
            raise UserError(
                f"data={name}: expected uint8 images of shape (N, H, W, 3), "
                f"(N, H, W, 1) or (N, H, W), got {array.dtype} {array.shape}"
            )
        self.kind = kind
        self.identity = _sampled_digest(array)
        self._name = name
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def items(self, start: int, stop: int) -> Iterator[Item]:
        for index in range(start, stop):
            yield Item(f"{self._name}[{index}]", partial(self._rgb, index))

    def _rgb(self, index: int) -> np.ndarray:
        image = self._array[index]
        return np.broadcast_to(image, (*image.shape[:2], 3))


def _sampled_digest(array: np.ndarray) -> str:
    """Digest the shape and at most 256 evenly spaced images: fast for any file size."""
    sha = hashlib.sha256(repr(array.shape).encode())
    if len(array):
        for index in np.unique(np.linspace(0, len(array) - 1, 256).astype(int)):
            sha.update(array[index].tobytes())
    return sha.hexdigest()


def read_portraits() -> ArrayReader:
    """Open the 997 emoji portraits (32x32) that are part of the package."""
    file = importlib.resources.files("lada_tf.data") / "embedded" / "portraits.npz"
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        return ArrayReader("portraits", "portraits", arrays["images"])


def read_numpy(path: str) -> ArrayReader:
    """Open a `.npy` file (memory-mapped), or a `.npz` file with one array of images."""
    try:
        if path.endswith(".npy"):
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            return ArrayReader("npy", path, array)
        with np.load(path, allow_pickle=False) as arrays:
            return ArrayReader("npz", path, arrays[_images_key(path, arrays.files)])
    except UserError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"data={path}: cannot read the NumPy file: {error}") from error


def _images_key(path: str, names: list[str]) -> str:
    for name in ("images", "arr_0"):
        if name in names:
            return name
    if len(names) == 1:
        return names[0]
    raise UserError(
        f"data={path}: found the arrays {', '.join(names) or '(none)'}. Name the array "
        "of images 'images'"
    )


def read_fashion_mnist(split: str) -> ArrayReader:
    """Open Fashion-MNIST (28x28, grayscale) from its Debian package."""
    if split not in _FASHION_MNIST_FILES:
        raise UserError(f"data=fashion_mnist:{split}: the splits are train and test")
    path = os.path.join(FASHION_MNIST_DIR, _FASHION_MNIST_FILES[split])
    if not os.path.exists(path):
        raise UserError(
            f"data=fashion_mnist: {path} does not exist. Run `apt install "
            "dataset-fashion-mnist`, or set data to the path of an IDX file"
        )
    return read_idx(path)


def read_idx(path: str) -> ArrayReader:
    """Open an IDX file of uint8 (N, H, W) or (N, H, W, 3), optionally gzipped."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"data={path}: cannot read the IDX file: {error}") from error
    return ArrayReader("idx", path, _parse_idx(path, data))


def _parse_idx(path: str, data: bytes) -> np.ndarray:
    """Parse the magic number, the 32-bit dimensions and the elements."""
    if data[:4] not in _IDX_MAGIC:
        raise UserError(
            f"data={path}: not an IDX file of images (unsigned bytes, 3 or 4 "
            f"dimensions). It starts with {data[:4]!r}"
        )
    ndim = data[3]
    start = 4 + 4 * ndim
    if len(data) < start:
        raise UserError(f"data={path}: the header of the IDX file is truncated")
    shape = tuple(np.frombuffer(data, ">u4", ndim, offset=4).tolist())
    if len(data) - start != math.prod(shape):
        raise UserError(
            f"data={path}: found {len(data) - start} bytes of pixels, expected "
            f"{math.prod(shape)} from the header"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
