import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def image_directory(tmp_path):
    """A directory of 50 PNG files of 12x12, and their pixels."""
    pixels = np.random.default_rng(7).integers(0, 256, (50, 12, 12, 3), np.uint8)
    directory = tmp_path / "images"
    directory.mkdir()
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(directory / f"{index}.png")
    return directory, pixels


@pytest.fixture
def settled(monkeypatch):
    """Trust the times of files at once."""
    monkeypatch.setattr("lada_tf.io._CLOCK_RESOLUTION_NS", 0)
