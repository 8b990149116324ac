"""FastConv2D and UpSamplingConv2D: Keras' convolutions with other kernels."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from lada_tf import kernels
from lada_tf.kernels import winograd
from lada_tf.layers import FastConv2D, UpSamplingConv2D
from tests.layers.layer_checks import run_layer_test

GRID = (3, 6, 4, 16)


@pytest.mark.parametrize(
    ("layer", "input_shapes", "expected_shape"),
    [
        (FastConv2D(5), [GRID], (3, 6, 4, 5)),
        (UpSamplingConv2D(5), [GRID], (3, 12, 8, 5)),
    ],
)
def test_common_behavior(layer, input_shapes, expected_shape, tmp_path):
    run_layer_test(layer, input_shapes, expected_shape, tmp_path)


@pytest.mark.parametrize("enabled", [False, True])
@pytest.mark.parametrize(
    "arguments",
    [
        {"strides": 2},
        {"dilation_rate": 2},
        {"groups": 2},
        {"activation": "relu", "use_bias": False},
        {"kernel_size": (5, 3), "padding": "valid"},
    ],
)
def test_arguments_mean_the_same_as_in_keras(arguments, enabled, monkeypatch):
    monkeypatch.setattr(winograd, "MIN_CHANNELS", 1)
    ours = FastConv2D(6, bias_initializer="random_normal", **arguments)
    keras_arguments = {"kernel_size": 3, "padding": "same", **arguments}
    plain = keras.layers.Conv2D(6, **keras_arguments)
    x = tf.random.normal(GRID)
    with kernels.fast(enabled):
        output = ours(x)
    plain.build(GRID)
    plain.set_weights(ours.get_weights())
    np.testing.assert_allclose(output, plain(x), atol=1e-5)
    again = FastConv2D.from_config(ours.get_config())
    again.build(GRID)
    again.set_weights(ours.get_weights())
    np.testing.assert_allclose(again(x), plain(x), atol=1e-5)


@pytest.mark.parametrize("name", ["strides", "dilation_rate", "groups", "padding"])
def test_upsampling_refuses_arguments_that_it_does_not_support(name):
    with pytest.raises(TypeError, match=name):
        UpSamplingConv2D(4, **{name: 2})


def test_channels_first_is_refused():
    with pytest.raises(ValueError, match="data_format='channels_first'"):
        FastConv2D(4, data_format="channels_first")


def test_upsampling_convolution_equals_both_layers_in_sequence():
    layer = UpSamplingConv2D(5, bias_initializer="random_normal")
    x = tf.random.normal((2, 4, 3, 6))
    layer(x)
    convolution = keras.layers.Conv2D(5, 3, padding="same")
    convolution.build((None, 8, 6, 6))
    convolution.set_weights(layer.get_weights())
    double = keras.layers.UpSampling2D(2, interpolation="nearest")
    results = []
    for weights, function in (
        (layer.trainable_variables, layer),
        (convolution.trainable_variables, lambda x: convolution(double(x))),
    ):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
            loss = tf.reduce_sum(tf.sin(y))
        results.append([y, *tape.gradient(loss, [x, *weights])])
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)
