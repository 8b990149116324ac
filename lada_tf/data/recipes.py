"""How an image of any size becomes a square one: recipes by name.

plain   The paper's, as the authors train: the whole image, whatever its proportions,
        by bilinear interpolation between the 4 nearest pixels, without antialiasing.
        (Theirs keeps fractions of a grey level; here the result is rounded to uint8.)
lsun    ADM's and Consistency Training's LSUN recipe: box filter that brings the short
        side to size, then the centre square.
pad     No pixel changed: black borders around an image that is smaller, the odd pixel
        right and below.

No recipe enlarges: blown-up images would teach the generator their blur.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from lada_tf.data.reader import BadImage

Recipe = Callable[[np.ndarray, int], np.ndarray]


def plain(image: np.ndarray, size: int) -> np.ndarray:
    """uint8 (H, W, 3) -> (size, size, 3); equals `tf.image.resize` then rounding."""
    _refuse_smaller(image, size)
    height, width = image.shape[:2]
    if height == width == size:
        return image
    top, bottom, down = _neighbours(height, size)
    left, right, across = _neighbours(width, size)
    down, across = down[:, np.newaxis, np.newaxis], across[:, np.newaxis]
    rows, next_rows = image[top], image[bottom]
    upper = _blend(rows[:, left], rows[:, right], across)
    lower = _blend(next_rows[:, left], next_rows[:, right], across)
    return np.rint(upper + (lower - upper) * down).astype(np.uint8)


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
        raise BadImage(f"{width}x{height} does not fit in {size}x{size} (recipe pad)")
    top, left = (size - height) // 2, (size - width) // 2
    padded = np.zeros((size, size, 3), np.uint8)
    padded[top : top + height, left : left + width] = image
    return padded


RECIPES: dict[str, Recipe] = {"plain": plain, "lsun": lsun, "pad": pad}


def _refuse_smaller(image: np.ndarray, size: int) -> None:
    height, width = image.shape[:2]
    if min(height, width) < size:
        raise BadImage(
            f"{width}x{height} is smaller than {size}x{size}: choose a smaller image "
            "size, or the recipe pad"
        )


def _neighbours(length: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each output pixel the two input pixels around its centre, and the weight of
    the second: float32 in [0, 1)."""
    # float32 throughout, as TensorFlow computes it: the roundings must agree.
    scale = np.float32(length) / np.float32(size)
    centres = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * scale
    positions = centres - np.float32(0.5)
    floor = np.floor(positions)
    first = np.maximum(floor, 0).astype(np.intp)
    second = np.minimum(np.ceil(positions), length - 1).astype(np.intp)
    return first, second, positions - floor


def _blend(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    start = first.astype(np.float32)
    return start + (second.astype(np.float32) - start) * weight
