"""BatchNormLeakyReLU: Keras' batch normalization, then LeakyReLU."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from lada_tf import kernels
from lada_tf.layers import BatchNormLeakyReLU
from tests.layers.layer_checks import run_layer_test

MAP = (3, 4, 5, 6)


def test_common_behavior(tmp_path):
    run_layer_test(BatchNormLeakyReLU(), [MAP], MAP, tmp_path)


@pytest.mark.parametrize("enabled", [False, True])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"momentum": 0.5, "epsilon": 0.1},
        {"center": False},
        {"scale": False},
        {"trainable": False},
    ],
)
def test_it_equals_batch_normalization_and_leaky_relu_of_keras(arguments, enabled):
    """Outputs of three training steps, moving statistics, and inference after them."""
    ours = BatchNormLeakyReLU(**arguments)
    again = BatchNormLeakyReLU.from_config(ours.get_config())
    x = 2 + 3 * tf.random.normal(MAP)
    for layer in (ours, again):
        plain = keras.layers.BatchNormalization(**arguments)
        plain.build(MAP)
        layer.build(MAP)
        plain.set_weights(layer.get_weights())
        for _ in range(3):
            with kernels.fast(enabled):
                output = layer(x, training=True)
            expected = tf.nn.leaky_relu(plain(x, training=True), 0.2)
            np.testing.assert_allclose(output, expected, atol=1e-4)
        for a, b in zip(layer.get_weights(), plain.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(layer(x), tf.nn.leaky_relu(plain(x), 0.2), atol=1e-4)


@pytest.mark.parametrize("enabled", [False, True])
def test_bfloat16_keeps_statistics_in_float32(enabled):
    x = 100 + tf.random.normal(MAP)
    half = BatchNormLeakyReLU(dtype="mixed_bfloat16")
    with kernels.fast(enabled):
        output = half(x, training=True)
    assert output.dtype == "bfloat16"
    rounded = tf.cast(tf.cast(x, tf.bfloat16), tf.float32)
    np.testing.assert_allclose(
        half.moving_mean, 0.01 * tf.reduce_mean(rounded, (0, 1, 2)), rtol=1e-4
    )
