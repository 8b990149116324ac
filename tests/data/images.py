"""Test images and their encoded files."""

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
