"""Images in NumPy files, and the portraits inside the package."""

import hashlib
import importlib.resources
import os
import zipfile
from collections.abc import Iterator
from functools import partial

import numpy as np

from lada_tf.data.reader import Item, Reader
from lada_tf.errors import UserError


class ArrayReader(Reader):
    """Images that are one uint8 array: (N, H, W), (N, H, W, 1) or (N, H, W, 3)."""

    def __init__(self, kind: str, name: str, array: np.ndarray):
        if array.ndim == 3:
            array = array[..., np.newaxis]
        if array.ndim != 4 or array.shape[-1] not in (1, 3) or array.dtype != np.uint8:
            raise UserError(
                f"{name}: images must be uint8 (N, height, width, 3), or grey with 1 "
                f"channel or none; this is {array.dtype} {array.shape}"
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


def read_portraits() -> ArrayReader:
    """The 997 emoji portraits, 32x32, that the package carries."""
    file = importlib.resources.files("lada_tf.data") / "embedded" / "portraits.npz"
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        return ArrayReader("portraits", "portraits", arrays["images"])


def read_numpy(path: str) -> ArrayReader:
    """A `.npy` (mapped, not read whole) or a `.npz` with one array of images."""
    try:
        if path.endswith(".npy"):
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            return ArrayReader("npy", path, array)
        with np.load(path, allow_pickle=False) as arrays:
            return ArrayReader("npz", path, arrays[_images_key(path, arrays.files)])
    except UserError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read as a NumPy file: {error}") from error


def _images_key(path: str, names: list[str]) -> str:
    for name in ("images", "arr_0"):
        if name in names:
            return name
    if len(names) == 1:
        return names[0]
    raise UserError(
        f"{path} holds the arrays {', '.join(names) or '(none)'}: call the one with "
        "the images 'images'"
    )


def _sampled_digest(array: np.ndarray) -> str:
    """Shape and at most 256 evenly spaced images: cheap for files of any size."""
    sha = hashlib.sha256(repr(array.shape).encode())
    for index in np.unique(np.linspace(0, len(array) - 1, 256).astype(int)):
        if len(array):
            sha.update(array[index].tobytes())
    return sha.hexdigest()


def is_numpy(path: str) -> bool:
    return os.path.splitext(path)[1] in (".npy", ".npz")
