"""Resizes by name: how an image of any size becomes a square of the training size.

plain   The paper's resize: bilinear interpolation between the 4 nearest pixels, without
        antialiasing. It does not keep the aspect ratio. The authors' code trains on the
        float result. Here, the result is rounded to uint8.
lsun    The LSUN resize of ADM and Consistency Training: a box filter scales the short
        side to the training size, then a center crop.
pad     No resampling: black borders around a smaller image. An odd pixel goes to the
        right and bottom.

No resize enlarges an image: the generator would learn the blur.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from PIL import Image

from lada_tf.data.decoding import BadImage
from lada_tf.errors import UserError

Resize = Callable[[np.ndarray, int], np.ndarray]


def plain(image: np.ndarray, size: int) -> np.ndarray:
    """Resize uint8 (H, W, 3) to (size, size, 3) like `tf.image.resize`, rounded."""
    _check_not_smaller(image, size)
    height, width = image.shape[:2]
    if height == width == size:
        return image
    with tf.device("CPU:0"):
        resized = tf.raw_ops.ResizeBilinear(
            images=image[np.newaxis], size=(size, size), half_pixel_centers=True
        )
    return np.rint(memoryview(resized)).astype(np.uint8)[0]


def lsun(image: np.ndarray, size: int) -> np.ndarray:
    """Resize uint8 (H, W, 3) to (size, size, 3) with a box filter and a center crop."""
    _check_not_smaller(image, size)
    height, width = image.shape[:2]
    scale = size / min(height, width)
    height, width = round(height * scale), round(width * scale)
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BOX)
    top, left = (height - size) // 2, (width - size) // 2
    return np.asarray(resized)[top : top + size, left : left + size]


def pad(image: np.ndarray, size: int) -> np.ndarray:
    """Pad uint8 (H, W, 3) to (size, size, 3) with black borders."""
    height, width = image.shape[:2]
    if max(height, width) > size:
        raise BadImage(f"{width}x{height} is larger than {size}x{size} (resize=pad)")
    top, left = (size - height) // 2, (size - width) // 2
    padded = np.zeros((size, size, 3), np.uint8)
    padded[top : top + height, left : left + width] = image
    return padded


RESIZES: dict[str, Resize] = {"plain": plain, "lsun": lsun, "pad": pad}


def resize_name(data: str, resize: str | None) -> str:
    """Return `resize`, or the default resize of `data` if it is None or empty."""
    resize = resize or ("pad" if data.startswith("fashion_mnist") else "plain")
    if resize not in RESIZES:
        raise UserError(f"resize={resize}: must be one of {', '.join(RESIZES)}")
    return resize


def _check_not_smaller(image: np.ndarray, size: int) -> None:
    height, width = image.shape[:2]
    if min(height, width) < size:
        raise BadImage(
            f"{width}x{height} is smaller than {size}x{size}; use a smaller image_size "
            "or resize=pad"
        )
