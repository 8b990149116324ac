"""Images in arrays: the embedded portraits, NumPy files and IDX files."""

import gzip
import importlib.resources
import math
import os
import zlib
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from lada_tf.data.decoding import MAX_PIXELS
from lada_tf.data.readers import Item, Reader
from lada_tf.errors import UserError
from lada_tf.io import check_expansion, open_file, open_zip, read_at_most

FASHION_MNIST_DIR = "/usr/share/datasets/fashion-mnist"
_FASHION_MNIST_PREFIXES = {"train": "train", "test": "t10k"}
# Two zero bytes, element type (8: unsigned byte), number of dimensions.
_IDX_MAGIC = (b"\0\0\x08\x03", b"\0\0\x08\x04")


class ArrayReader(Reader):
    """Images in one uint8 array: (N, H, W), (N, H, W, 1) or (N, H, W, 3)."""

    def __init__(
        self, kind: str, name: str, array: np.ndarray, files: Sequence[str] = ()
    ):
        if array.ndim == 3:
            array = array[..., np.newaxis]
        if array.ndim != 4 or array.shape[-1] not in (1, 3) or array.dtype != np.uint8:
            raise UserError(
                f"data={name}: expected uint8 images of shape (N, H, W, 3), "
                f"(N, H, W, 1) or (N, H, W), got {array.dtype} {array.shape}"
            )
        if not 0 < math.prod(array.shape[1:3]) <= MAX_PIXELS:
            raise UserError(
                f"data={name}: expected images of 1 to {MAX_PIXELS} pixels, got "
                f"{array.shape}"
            )
        self.kind = kind
        self._name = name
        self._array = array
        self.files = files

    def __len__(self) -> int:
        return len(self._array)

    def items(self, start: int, stop: int) -> Iterator[Item]:
        for index in range(start, stop):
            yield Item(f"{self._name}[{index}]", partial(self._rgb, index))

    def _rgb(self, index: int) -> np.ndarray:
        image = self._array[index]
        return np.broadcast_to(image, (*image.shape[:2], 3))


def read_portraits() -> ArrayReader:
    """Open the 997 emoji portraits (32x32) that are part of the package."""
    file = importlib.resources.files("lada_tf.data") / "embedded" / "portraits.npz"
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        return ArrayReader("portraits", "portraits", arrays["images"])


def read_numpy(path: str) -> ArrayReader:
    """Open a `.npy` file (memory-mapped), or a `.npz` file with one array of images."""
    try:
        if path.lower().endswith(".npy"):
            open_file(path).close()
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            return ArrayReader("npy", path, array, [path])
        open_zip(path).close()
        with np.load(path, allow_pickle=False) as arrays:
            images = arrays[_images_key(path, arrays.files)]
            return ArrayReader("npz", path, images, [path])
    except UserError:
        raise
    except Exception as error:  # on damaged files, zipfile raises almost anything
        reason = " ".join(str(error).split())
        raise UserError(f"data={path}: cannot read the NumPy file: {reason}") from error


def _images_key(path: str, names: list[str]) -> str:
    for name in ("images", "arr_0"):
        if name in names:
            return name
    if len(names) == 1:
        return names[0]
    raise UserError(
        f"data={path}: expected an array named images or arr_0, or a single array. "
        f"Found {', '.join(names) or 'none'}"
    )


def read_fashion_mnist(split: str) -> ArrayReader:
    """Open Fashion-MNIST (28x28, grayscale) from its Debian package."""
    if split not in _FASHION_MNIST_PREFIXES:
        raise UserError(f"data=fashion_mnist:{split}: the splits are train and test")
    name = f"{_FASHION_MNIST_PREFIXES[split]}-images-idx3-ubyte.gz"
    path = os.path.join(FASHION_MNIST_DIR, name)
    if not os.path.exists(path):
        raise UserError(
            f"data=fashion_mnist: {path} does not exist. Run `apt install "
            "dataset-fashion-mnist`, or set data to the path of an IDX file"
        )
    reader = read_idx(path)
    reader.default_resize = "pad"  # 28x28 to 32x32
    return reader


def read_idx(path: str) -> ArrayReader:
    """Open an IDX file of uint8 (N, H, W) or (N, H, W, 3), optionally gzipped.

    The format is specified at http://yann.lecun.com/exdb/mnist.
    """
    try:
        with open_file(path) as file:
            is_gzip = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            stream = gzip.GzipFile(fileobj=file) if is_gzip else file
            magic = stream.read(4)
            if magic not in _IDX_MAGIC:
                raise ValueError(
                    f"expected unsigned bytes in 3 or 4 dimensions, found {magic!r}"
                )
            ndim = magic[3]
            shape = np.frombuffer(stream.read(4 * ndim), ">u4", ndim).tolist()
            check_expansion(math.prod(shape), os.path.getsize(path))
            data = read_at_most(stream, math.prod(shape) + 1)
        array = np.frombuffer(data, np.uint8).reshape(shape)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"data={path}: not an IDX file of images: {error}") from error
    return ArrayReader("idx", path, array, [path])
