"""IDX files, the format of MNIST and Fashion-MNIST (http://yann.lecun.com/exdb/mnist)."""

import gzip
import math
import os
import zlib

import numpy as np

from lada_tf.data.arrays import ArrayReader
from lada_tf.errors import UserError

FASHION_MNIST_FOLDER = "/usr/share/datasets/fashion-mnist"
_FASHION_MNIST_FILES = {
    "train": "train-images-idx3-ubyte.gz",
    "test": "t10k-images-idx3-ubyte.gz",
}
_UNSIGNED_BYTE = 8


def read_fashion_mnist(split: str) -> ArrayReader:
    """Fashion-MNIST as Debian's package installs it: 28x28, grey."""
    if split not in _FASHION_MNIST_FILES:
        raise UserError(f"fashion_mnist has the splits train and test, not {split!r}")
    path = os.path.join(FASHION_MNIST_FOLDER, _FASHION_MNIST_FILES[split])
    if not os.path.exists(path):
        raise UserError(
            f"fashion_mnist: {path} does not exist: run `apt install "
            "dataset-fashion-mnist`, or give the path of an IDX file as the data"
        )
    return read_idx(path)


def read_idx(path: str) -> ArrayReader:
    """An IDX file of unsigned bytes, (N, H, W) or (N, H, W, 3), gzipped or not."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    return ArrayReader("idx", path, _parse(path, data))


def _parse(path: str, data: bytes) -> np.ndarray:
    """Header: two zero bytes, element type, number of dimensions, 32-bit dimensions."""
    if len(data) < 4 or data[:2] != b"\0\0":
        raise UserError(f"{path} is not an IDX file: it does not begin with two zeros")
    element, dimensions = data[2], data[3]
    if element != _UNSIGNED_BYTE or dimensions not in (3, 4):
        raise UserError(
            f"{path} is not an IDX file of images: element type {element} (8, unsigned "
            f"byte, is read), {dimensions} dimensions (3 or 4 are read)"
        )
    start = 4 + 4 * dimensions
    if len(data) < start:
        raise UserError(f"{path} is cut off within its header")
    shape = tuple(np.frombuffer(data, ">u4", dimensions, offset=4).tolist())
    if len(data) - start != math.prod(shape):
        raise UserError(
            f"{path} holds {len(data) - start} bytes of pixels where its header "
            f"promises {math.prod(shape)}"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def is_idx(path: str) -> bool:
    name = os.path.basename(path).removesuffix(".gz")
    return name.endswith(("-ubyte", ".idx"))
