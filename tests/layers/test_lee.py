"""PixelShuffle and LEE."""

import numpy as np
import pytest
import tensorflow as tf

from lada_tf.layers import LEE, PixelShuffle
from tests.layers.layer_checks import run_layer_test

GRID = (3, 6, 4, 16)


@pytest.mark.parametrize(
    ("layer", "input_shapes", "expected_shape"),
    [
        (LEE(5), [GRID], (3, 12, 8, 5)),
        (PixelShuffle(4), [GRID], (3, 24, 16, 1)),
        (PixelShuffle(1), [GRID], GRID),
    ],
)
def test_common_behavior(layer, input_shapes, expected_shape, tmp_path):
    run_layer_test(layer, input_shapes, expected_shape, tmp_path)


def test_pixel_shuffle_equals_tensorflow():
    x = tf.random.normal(GRID)
    np.testing.assert_array_equal(PixelShuffle(2)(x), tf.nn.depth_to_space(x, 2))


def test_lee_shuffles_before_it_convolves():
    layer = LEE(5)
    x = tf.random.normal(GRID)
    layer(x)
    kernel, bias = layer.get_weights()
    assert kernel.shape == (3, 3, 4, 5)
    expected = tf.nn.conv2d(tf.nn.depth_to_space(x, 2), kernel, 1, "SAME") + bias
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


def test_channels_that_do_not_fit():
    with pytest.raises(ValueError, match="divisible by 16, not 8"):
        PixelShuffle(4)(tf.zeros((1, 2, 2, 8)))
