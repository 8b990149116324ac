"""Discriminator: attention layers and sizes."""

import numpy as np
import pytest
import tensorflow as tf

from lada_tf import kernels
from lada_tf.models import Discriminator
from tests.models.network_checks import (
    DISCRIMINATORS,
    check_file_and_xla,
    make_discriminator,
)


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_discriminator(name, tmp_path):
    discriminator = make_discriminator(name)
    discriminator.build()
    built = len(discriminator.weights)
    size = discriminator.image_size
    x = tf.random.uniform((3, size, size, 3), -1, 1)
    logits = discriminator(x)
    assert len(discriminator.weights) == built
    assert logits.shape == (3, 25)
    assert logits.dtype == "float32"
    check_file_and_xla(discriminator, x, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 64}, "image_size=64 does not fit widths="),
        ({"image_size": 16, "widths": (8,)}, "does not fit widths="),
        ({"attention": "mlp"}, "attention='mlp' is not one of"),
        ({"num_heads": 3}, "num_heads=3 does not divide the width 256"),
        ({"out_widths": (8,)}, "must be two widths"),
    ],
)
def test_discriminator_sizes_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        Discriminator(**arguments).build()


def test_frozen_batch_norm_uses_its_moving_statistics():
    discriminator = make_discriminator("lada")
    discriminator.build()
    block, x = discriminator.down_blocks[0], tf.random.normal((3, 8, 8, 4))
    moved = block(x, training=True) - block(x)
    assert np.abs(moved).max() > 0.1
    discriminator.freeze(2)
    with kernels.fast():
        np.testing.assert_array_equal(block(x, training=True), block(x))


@pytest.mark.parametrize(
    "images",
    [
        tf.zeros((2, 64, 64, 3)),
        tf.zeros((2, 32, 32, 1)),
        tf.zeros((2, 3, 32, 32)),
        tf.zeros((32, 32, 3)),
        tf.zeros((2, 32, 32, 3), tf.uint8),
    ],
)
def test_images_of_another_form(images):
    with pytest.raises(ValueError, match=r"images must be float.*Rescaling"):
        make_discriminator("lada")(images)
