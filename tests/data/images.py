"""Test images and their encoded files."""

import gzip
import io

import numpy as np
from PIL import Image

SIZE = 24


def picture(seed: int = 0, mode: str = "RGB") -> Image.Image:
    """Make an image of smooth random colors, which JPEG preserves well."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.fromarray(coarse).resize((SIZE, SIZE)).convert(mode)


def encode(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def gray_images(count: int, size: int = 28) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size), np.uint8)


def write_idx(path, images: np.ndarray) -> None:
    header = b"\0\0\x08\x03" + np.array(images.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + images.tobytes()))
