"""The images of an evaluation, batch by batch: of a source, a generator or a disk."""

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from PIL import Image

from lada_tf.errors import UserError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


class ImageSource(Protocol):
    """What is asked of `lada_tf.data.ImageSource`: uint8 RGB images by index."""

    image_size: int
    fingerprint: str

    def __len__(self) -> int: ...

    def images(self, indices: np.ndarray) -> np.ndarray: ...


def batches(
    source: ImageSource, order: np.ndarray, batch_size: int
) -> Iterator[np.ndarray]:
    """Yields uint8 (n, size, size, 3), n <= `batch_size`, in the given order."""
    for start in range(0, len(order), batch_size):
        yield source.images(order[start : start + batch_size])


def quantized(generator) -> Callable:
    """Compiles a generator so that it returns uint8, as a PNG file would hold.

    Args:
        generator: callable with a `training` argument, float32 latents
            (n, latent_dim) -> images (n, height, width, 3) meant for [-1, 1].

    Returns:
        A callable, latents -> (uint8 tensor (n, height, width, 3), whether all values
        were finite).
    """
    import tensorflow as tf  # the images of a disk do not need it

    @tf.function(reduce_retracing=True)
    def run(latents):
        values = generator(latents, training=False)
        return to_uint8(values), tf.reduce_all(tf.math.is_finite(values))

    return run


def generate(
    generator: Callable,
    latent_dim: int,
    num_images: int,
    seed: int = 0,
    batch_size: int = 64,
) -> Iterator[np.ndarray]:
    """Yields images of a generator.

    The latents are one stream of standard normal numbers, the same for any batch size,
    machine or device.

    Args:
        generator: `quantized(...)`.
        latent_dim: width of the latents.
        num_images: how many.
        seed: of the latents.
        batch_size: images at a time.

    Yields:
        uint8 (n, height, width, 3).

    Raises:
        UserError: pixels that are no finite numbers.
    """
    random = np.random.default_rng(seed)
    for start in range(0, num_images, batch_size):
        count = min(batch_size, num_images - start)
        latents = random.standard_normal((count, latent_dim))
        values, finite = generator(latents.astype(np.float32))
        if not finite:
            raise UserError("the generator makes NaN or infinite pixels: it diverged")
        yield values.numpy()


def to_uint8(images):
    """A tensor meant for [-1, 1] -> uint8: clipped, rounded to the nearest."""
    import tensorflow as tf

    levels = tf.round(tf.cast(images, tf.float32) * 127.5 + 127.5)
    return tf.cast(tf.clip_by_value(levels, 0, 255), tf.uint8)


class ImagesOnDisk:
    """Images that any program made: a folder, or an `.npz` or `.npy` array.

    They are taken as they are: nothing is cropped or resized, so all must be square and
    of one size. A folder's images are read in the order of their paths.

    Raises:
        UserError: no images, images of different sizes, or arrays of another kind.
    """

    def __init__(self, path: str):
        self._path = path
        self._array: np.ndarray | None = None
        self._files: list[str] = []
        if os.path.isdir(path):
            self._files = _image_files(path)
            first = _read_image(self._files[0])
            identity = "\n".join(
                f"{os.path.relpath(file, path)} {os.path.getsize(file)}"
                for file in self._files
            )
        else:
            self._array = _read_array(path)
            first = self._array[0]
            identity = hashlib.sha256(self._array.tobytes()).hexdigest()
        self._shape = first.shape
        if first.shape[0] != first.shape[1]:
            raise UserError(
                f"--images={path}: images must be square, not {first.shape}"
            )
        self.image_size = first.shape[0]
        digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
        self.fingerprint = f"images:{digest}:{self.image_size}px:{len(self)}"

    def __len__(self) -> int:
        return len(self._files) if self._array is None else len(self._array)

    def images(self, indices: np.ndarray) -> np.ndarray:
        if self._array is not None:
            return self._array[indices]
        return np.stack([self._checked(self._files[index]) for index in indices])

    def _checked(self, file: str) -> np.ndarray:
        image = _read_image(file)
        if image.shape != self._shape:
            raise UserError(
                f"{file} is {image.shape[1]}x{image.shape[0]}, the images before it "
                f"{self._shape[1]}x{self._shape[0]}: all --images must be of one size"
            )
        return image


def _image_files(folder: str) -> list[str]:
    files = sorted(
        os.path.join(parent, name)
        for parent, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(EXTENSIONS)
    )
    if not files:
        raise UserError(f"--images={folder} holds no image ({', '.join(EXTENSIONS)})")
    return files


def _read_image(file: str) -> np.ndarray:
    try:
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{file} cannot be read as an image: {error}") from error


def _read_array(path: str) -> np.ndarray:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            array = loaded
        else:
            with loaded:
                name = "arr_0" if "arr_0" in loaded.files else "images"
                array = loaded[name]
    except KeyError as error:
        raise UserError(f"--images={path} holds no array arr_0 or images") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"--images={path} is no folder and no .npz or .npy that can be read "
            f"without executing pickles: {error}"
        ) from error
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] != 3:
        raise UserError(
            f"--images={path} must hold uint8 (N, height, width, 3), not "
            f"{array.dtype} {array.shape}"
        )
    if not len(array):
        raise UserError(f"--images={path} holds no image")
    return array
