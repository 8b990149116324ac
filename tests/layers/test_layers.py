"""Every public layer through the common checks, and what each computes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from lada_tf.layers import (
    LEE,
    SLN,
    Ladaformer,
    PixelShuffle,
    PositionEmbedding,
    SpaceToDepth,
)
from lada_tf.layers.up_sampling_conv2d import UpSamplingConv2D
from tests.layers.layer_checks import check_layer

TOKENS, LATENTS, GRID = (3, 10, 16), (3, 7), (3, 6, 4, 16)


@pytest.mark.parametrize(
    ("layer", "input_shapes", "expected_shape"),
    [
        (SLN(), [TOKENS, LATENTS], TOKENS),
        (Ladaformer(num_heads=2, mlp_dim=24), [TOKENS, LATENTS], TOKENS),
        (Ladaformer(4, 24, norm="layer_norm", mlp_residual=True), [TOKENS], TOKENS),
        (Ladaformer(4, 24, norm="layer_norm", score="per_head"), [TOKENS], TOKENS),
        (LEE(5), [GRID], (3, 12, 8, 5)),
        (PixelShuffle(4), [GRID], (3, 24, 16, 1)),
        (PixelShuffle(1), [GRID], GRID),
        (SpaceToDepth(2), [GRID], (3, 3, 2, 64)),
        (PositionEmbedding(), [TOKENS], TOKENS),
        (UpSamplingConv2D(5), [GRID], (3, 12, 8, 5)),
    ],
    ids=lambda value: value.name if hasattr(value, "name") else "",
)
def test_common_behaviour(layer, input_shapes, expected_shape, tmp_path):
    inputs = [tf.random.normal(shape) for shape in input_shapes]
    check_layer(layer, inputs, expected_shape, tmp_path)


def test_sln_is_a_layer_norm_scaled_and_shifted_by_the_latent():
    layer = SLN()
    h, z = tf.random.normal(TOKENS) * 3 + 1, tf.random.normal(LATENTS)
    output = layer(h, z).numpy()

    h, z = h.numpy().astype(np.float64), z.numpy().astype(np.float64)
    hidden_kernel, hidden_bias, *maps = (
        w.astype(np.float64) for w in layer.get_weights()
    )
    hidden = np.maximum(z @ hidden_kernel + hidden_bias, 0)
    gamma, beta = hidden @ maps[0] + maps[1], hidden @ maps[2] + maps[3]
    norm = (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-6)
    expected = gamma[:, None] * norm + beta[:, None]
    np.testing.assert_allclose(output, expected, atol=1e-5)


@pytest.mark.parametrize("mlp_residual", [False, True])
def test_ladaformer_residuals(mlp_residual):
    """With zeroed output maps only the residual connections are left."""
    layer = Ladaformer(2, 24, norm="layer_norm", mlp_residual=mlp_residual)
    x = tf.random.normal(TOKENS)
    layer(x)
    for dense in (layer.attention.output_projection, layer.mlp_output):
        dense.kernel.assign(tf.zeros_like(dense.kernel))
    expected = x if mlp_residual else tf.zeros_like(x)
    np.testing.assert_array_equal(layer(x), expected)


def test_ladaformer_needs_latents_only_for_sln():
    x, z = tf.random.normal(TOKENS), tf.random.normal(LATENTS)
    with pytest.raises(ValueError, match="needs latents"):
        Ladaformer(norm="sln")(x)
    with pytest.raises(ValueError, match="takes no latents"):
        Ladaformer(norm="layer_norm")(x, z)


def test_pixel_shuffle_and_space_to_depth_are_tensorflows():
    x = tf.random.normal(GRID)
    np.testing.assert_array_equal(PixelShuffle(2)(x), tf.nn.depth_to_space(x, 2))
    np.testing.assert_array_equal(SpaceToDepth(2)(x), tf.nn.space_to_depth(x, 2))


def test_lee_shuffles_before_it_convolves():
    layer = LEE(5)
    x = tf.random.normal(GRID)
    layer(x)
    kernel, bias = layer.get_weights()
    assert kernel.shape == (3, 3, 4, 5)
    expected = tf.nn.conv2d(tf.nn.depth_to_space(x, 2), kernel, 1, "SAME") + bias
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (PixelShuffle(4), (1, 2, 2, 8), "16 divides, not 8"),
        (SpaceToDepth(2), (1, 3, 2, 8), "not 3×2"),
        (Ladaformer(3, norm="layer_norm"), TOKENS, "num_heads=3 does not divide"),
    ],
)
def test_sizes_that_do_not_fit(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer(tf.zeros(shape))


def test_weights_of_equal_shape_start_different():
    layer = Ladaformer(2, 24)
    layer(tf.random.normal(TOKENS), tf.random.normal(LATENTS))
    attention = layer.attention
    assert np.abs(attention.query.kernel - attention.key.kernel).max() > 0.01
    for kernel in (attention.query.kernel, attention.output_projection.kernel):
        np.testing.assert_allclose(
            tf.matmul(kernel, kernel, transpose_a=True), np.eye(16), atol=1e-5
        )


def test_upsampling_convolution_is_both_in_turn():
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
