"""How an image of any size becomes a square one: resizes by name.

plain   The paper's, as the authors train: the whole image, whatever its proportions,
        by bilinear interpolation between the 4 nearest pixels, without antialiasing.
        (Theirs keeps fractions of a grey level; here the result is rounded to uint8.)
lsun    ADM's and Consistency Training's LSUN resize: box filter that brings the short
        side to size, then the centre square.
pad     No pixel changed: black borders around an image that is smaller, the odd pixel
        right and below.

No resize enlarges: blown-up images would teach the generator their blur.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from PIL import Image

from lada_tf.data.reader import BadImage
from lada_tf.data.source import as_tensor
from lada_tf.errors import UserError

Resize = Callable[[np.ndarray, int], np.ndarray]


def plain(image: np.ndarray, size: int) -> np.ndarray:
    """uint8 (H, W, 3) -> (size, size, 3); equals `tf.image.resize` then rounding."""
    _refuse_smaller(image, size)
    height, width = image.shape[:2]
    if height == width == size:
        return image
    with tf.device("CPU:0"):
        resized = tf.raw_ops.ResizeBilinear(
            images=as_tensor(image[np.newaxis]),
            size=tf.constant((size, size)),
            half_pixel_centers=True,
        )
    return np.rint(memoryview(resized)).astype(np.uint8)[0]


def lsun(image: np.ndarray, size: int) -> np.ndarray:
    """uint8 (H, W, 3) -> (size, size, 3): box filter, centre crop."""
    _refuse_smaller(image, size)
    height, width = image.shape[:2]
    scale = size / min(height, width)
    height, width = round(height * scale), round(width * scale)
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BOX)
    top, left = (height - size) // 2, (width - size) // 2
    return np.asarray(resized)[top : top + size, left : left + size]


def pad(image: np.ndarray, size: int) -> np.ndarray:
    """uint8 (H, W, 3) -> (size, size, 3): the image amid black."""
    height, width = image.shape[:2]
    if max(height, width) > size:
        raise BadImage(f"{width}x{height} does not fit in {size}x{size} (resize pad)")
    top, left = (size - height) // 2, (size - width) // 2
    padded = np.zeros((size, size, 3), np.uint8)
    padded[top : top + height, left : left + width] = image
    return padded


RESIZES: dict[str, Resize] = {"plain": plain, "lsun": lsun, "pad": pad}


def resize_for(spec: str, name: str | None) -> str:
    """`name`, or the default resize of a data set; UserError if there is no such."""
    name = name or ("pad" if spec.startswith("fashion_mnist") else "plain")
    if name not in RESIZES:
        raise UserError(f"resize must be one of {', '.join(RESIZES)}, not {name!r}")
    return name


def _refuse_smaller(image: np.ndarray, size: int) -> None:
    height, width = image.shape[:2]
    if min(height, width) < size:
        raise BadImage(
            f"{width}x{height} is smaller than {size}x{size}: choose a smaller image "
            "size, or the resize pad"
        )
