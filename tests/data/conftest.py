import io

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def image_folder(tmp_path):
    """A folder of 50 PNGs, 12x12, and their pixels."""
    pixels = np.random.default_rng(7).integers(0, 256, (50, 12, 12, 3), np.uint8)
    folder = tmp_path / "images"
    folder.mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder, pixels


@pytest.fixture(scope="session")
def webp():
    """Encodes pixels as LSUN does, but without loss."""

    def encode(pixels: np.ndarray) -> bytes:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "WEBP", lossless=True)
        return file.getvalue()

    return encode
