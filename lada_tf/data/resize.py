"""Resizes by name: how an image of any size becomes a square of the training size.

center_crop  The central square, resized with Pillow's antialiased Lanczos filter, as
             in StyleGAN's data sets. This filter suits any scale. A box filter has
             uneven weights at scales slightly below 1, and makes blocks above 1.
plain        The paper's resize: bilinear interpolation between the 4 nearest pixels,
             without antialiasing. It does not keep the aspect ratio. The authors' code
             trains on the float result. Here, the result is rounded to uint8.
lsun         The LSUN resize of ADM and Consistency Training: a box filter scales the
             short side to the training size, then a center crop.
pad          No resampling: black borders around a smaller image. If their width is
             odd, the right and bottom borders are one pixel wider.
unchanged    Images must have the training size.

The first three also enlarge images.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from lada_tf.data.decoding import BadImage, check_size
from lada_tf.errors import UserError

Resize = Callable[[np.ndarray, int], np.ndarray]


def center_crop(image: np.ndarray, size: int) -> np.ndarray:
    """Resize the central square of uint8 (H, W, 3) to (size, size, 3), antialiased."""
    if image.shape[:2] == (size, size):
        return image
    lanczos = Image.Resampling.LANCZOS
    return np.asarray(ImageOps.fit(Image.fromarray(image), (size, size), lanczos))


def plain(image: np.ndarray, size: int) -> np.ndarray:
    """Resize uint8 (H, W, 3) to (size, size, 3) like `tf.image.resize`, rounded."""
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
    height, width = image.shape[:2]
    scale = size / min(height, width)
    height, width = round(height * scale), round(width * scale)
    check_size(width, height)  # a line of pixels would become huge
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BOX)
    top, left = (height - size) // 2, (width - size) // 2
    return np.asarray(resized)[top : top + size, left : left + size]


def pad(image: np.ndarray, size: int) -> np.ndarray:
    """Pad uint8 (H, W, 3) to (size, size, 3) with black borders."""
    height, width = image.shape[:2]
    if max(height, width) > size:
        raise BadImage(
            f"{width}x{height} is larger than {size}x{size}, but resize=pad cannot "
            "shrink images: use resize=center_crop or a larger image_size"
        )
    top, left = (size - height) // 2, (size - width) // 2
    padded = np.zeros((size, size, 3), np.uint8)
    padded[top : top + height, left : left + width] = image
    return padded


def unchanged(image: np.ndarray, size: int) -> np.ndarray:
    """Return uint8 (size, size, 3) unchanged."""
    height, width = image.shape[:2]
    if (height, width) != (size, size):
        raise BadImage(
            f"is {width}x{height}, not {size}x{size}, and resize=unchanged does not "
            "resize images: use another resize"
        )
    return image


RESIZES: dict[str, Resize] = {
    function.__name__: function
    for function in (center_crop, plain, lsun, pad, unchanged)
}


def check_resize(resize: str | None) -> None:
    """Raise UserError unless the name is known. None and "" are the default."""
    if resize and resize not in RESIZES:
        raise UserError(f"resize={resize}: must be one of {', '.join(RESIZES)}")
