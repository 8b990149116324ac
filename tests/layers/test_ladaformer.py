"""Ladaformer: both forms of the block, and what they reject."""

import numpy as np
import pytest
import tensorflow as tf

from lada_tf.layers import Ladaformer
from tests.layers.layer_checks import run_layer_test

TOKENS, LATENTS = (3, 10, 16), (3, 7)


@pytest.mark.parametrize(
    ("layer", "input_shapes", "expected_shape"),
    [
        (Ladaformer(num_heads=2, mlp_dim=24), [TOKENS, LATENTS], TOKENS),
        (Ladaformer(4, 24, norm="layer_norm", mlp_residual=True), [TOKENS], TOKENS),
        (Ladaformer(4, 24, norm="layer_norm", score="per_head"), [TOKENS], TOKENS),
    ],
)
def test_common_behavior(layer, input_shapes, expected_shape, tmp_path):
    run_layer_test(layer, input_shapes, expected_shape, tmp_path)


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


def test_heads_that_do_not_fit():
    with pytest.raises(ValueError, match="num_heads=3 does not divide"):
        Ladaformer(3, norm="layer_norm")(tf.zeros(TOKENS))


def test_weights_of_equal_shape_start_different():
    layer = Ladaformer(2, 24)
    layer(tf.random.normal(TOKENS), tf.random.normal(LATENTS))
    attention = layer.attention
    assert np.abs(attention.query.kernel - attention.key.kernel).max() > 0.01
    for kernel in (attention.query.kernel, attention.output_projection.kernel):
        np.testing.assert_allclose(
            tf.matmul(kernel, kernel, transpose_a=True), np.eye(16), atol=1e-5
        )
