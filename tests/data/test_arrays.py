import numpy as np
import pytest

from lada_tf.data import open_source
from lada_tf.data.arrays import ArrayReader
from lada_tf.errors import UserError
from tests.data.images import gray_images, write_idx


def test_fashion_mnist_is_padded_and_gray(tmp_path, monkeypatch):
    train, test = gray_images(6), gray_images(3)
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", train)
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", test)
    monkeypatch.setattr("lada_tf.data.arrays.FASHION_MNIST_DIR", str(tmp_path))
    images = open_source("fashion_mnist", 32).images(np.arange(6))
    assert images.shape == (6, 32, 32, 3)
    for channel in range(3):
        np.testing.assert_array_equal(images[:, 2:30, 2:30, channel], train)
    assert images.sum() == 3 * train.sum(dtype=int)
    assert len(open_source("fashion_mnist:test", 28)) == 3


def test_error_explains_how_to_install_fashion_mnist(monkeypatch):
    monkeypatch.setattr("lada_tf.data.arrays.FASHION_MNIST_DIR", "/nowhere")
    with pytest.raises(UserError, match="apt install dataset-fashion-mnist"):
        open_source("fashion_mnist", 32)


def test_the_identity_covers_every_pixel():
    def identity(array):
        return ArrayReader("npy", "a", array).identity

    images = gray_images(1000, 4)
    before = identity(images)
    assert identity(images.copy()) == before
    for index in (1, 500, 998):  # evenly spaced samples would miss some
        changed = images.copy()
        changed[index, 1, 2] ^= 1
        assert identity(changed) != before
