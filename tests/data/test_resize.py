import numpy as np
import pytest
import tensorflow as tf

from lada_tf.data.decoding import BadImage
from lada_tf.data.resize import RESIZES, center_crop, lsun, pad, plain, unchanged


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(("height", "width"), [(218, 178), (64, 64), (65, 100)])
def test_plain_is_the_rounded_tensorflow_resize(height, width):
    image = noise(height, width)
    expected = tf.image.resize(image, [64, 64]).numpy()
    np.testing.assert_array_equal(plain(image, 64), np.rint(expected))


def test_lsun_averages_boxes_and_crops_the_center():
    image = noise(64, 100)
    cropped = image[:, 18:82].astype(float)
    expected = cropped.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    # Pillow rounds after each of its two passes.
    assert np.abs(lsun(image, 32) - expected).max() <= 1
    np.testing.assert_array_equal(lsun(image.swapaxes(0, 1), 32).shape, (32, 32, 3))


def test_pad_keeps_all_pixels():
    image = noise(28, 27)
    padded = pad(image, 32)
    np.testing.assert_array_equal(padded[2:30, 2:29], image)
    assert padded.sum() == image.sum(dtype=int)
    with pytest.raises(BadImage, match="27x28 is larger than 20x20"):
        pad(image, 20)


def test_center_crop_keeps_circles_round():
    y, x = np.mgrid[:300, :400]
    circle = ((y - 150) ** 2 + (x - 200) ** 2 < 100**2) * np.uint8(255)
    resized = center_crop(circle[..., np.newaxis].repeat(3, 2), 30)[..., 0] > 127
    assert (resized.any(0).sum(), resized.any(1).sum()) == (20, 20)


def test_center_crop_filters_noise():
    # The average of 64 pixels of noise has 1/8 of their standard deviation; Lanczos
    # keeps a little more. Without antialiasing it would be at least 1/2.
    assert center_crop(noise(256, 320), 32).std() < 0.25 * noise(256, 320).std()


@pytest.mark.parametrize("name", ["center_crop", "plain", "lsun"])
def test_small_images_are_enlarged(name):
    assert RESIZES[name](noise(20, 40), 32).shape == (32, 32, 3)
    assert RESIZES[name](noise(1, 1), 32).shape == (32, 32, 3)


def test_unchanged_rejects_other_sizes():
    with pytest.raises(BadImage, match="is 9x8, not 8x8"):
        unchanged(noise(8, 9), 8)


@pytest.mark.parametrize("name", list(RESIZES))
def test_an_image_of_the_training_size_is_unchanged(name):
    image = noise(32, 32)
    np.testing.assert_array_equal(RESIZES[name](image, 32), image)


def test_a_long_image_does_not_become_huge():
    with pytest.raises(BadImage, match="pixels"):
        RESIZES["lsun"](np.zeros((1, 2**16, 3), np.uint8), 256)
