"""Layer normalization as one kernel: the numbers of Keras' own operations."""

import numpy as np
import pytest
import tensorflow as tf

from lada_tf.layers import SLN
from lada_tf.layers.layer_norm import LayerNorm
from tests.layers.layer_checks import derivatives

TOKENS, LATENTS = (2, 6, 16), (2, 5)


def a_layer_norm():
    layer = LayerNorm(epsilon=1e-3, dtype="float32")
    layer.build(TOKENS)
    layer.set_weights([np.random.normal(size=16) for _ in range(2)])
    return layer, ()


def an_sln():
    layer = SLN(epsilon=1e-3)
    layer.build(TOKENS, LATENTS)
    return layer, (tf.random.normal(LATENTS),)


@pytest.mark.parametrize("make", [a_layer_norm, an_sln])
@pytest.mark.parametrize("run", ["eager", "graph", "xla"])
def test_values_and_second_derivatives(make, run):
    layer, latents = make()
    x = 3 + tf.random.normal(TOKENS)

    def found(x):
        return derivatives(layer, [x, *latents], training=True)

    if run != "eager":
        found = tf.function(found, jit_compile=run == "xla")
    separate = derivatives(layer, [x, *latents], training=False)
    for ours, expected in zip(found(x), separate, strict=True):
        bound = 2e-5 * np.abs(expected).max()
        np.testing.assert_allclose(ours, expected, rtol=0, atol=bound)


@pytest.mark.parametrize("make", [a_layer_norm, an_sln])
def test_it_is_one_kernel_in_training(make):
    layer, latents = make()

    def kinds(training):
        function = tf.function(lambda x: layer(x, *latents, training=training))
        graph = function.get_concrete_function(tf.zeros(TOKENS)).graph
        return {operation.type for operation in graph.get_operations()}

    assert "Rsqrt" in kinds(False)
    assert "Rsqrt" not in kinds(True)


def test_half_precision():
    """Normalized in float32, modulated in the layer's own dtype."""
    layer = SLN(dtype="mixed_bfloat16")
    x, latents = 100 + tf.random.normal(TOKENS), tf.random.normal(LATENTS)
    found, expected = (layer(x, latents, training=training) for training in (True, 0))
    assert found.dtype == expected.dtype == "bfloat16"
    np.testing.assert_allclose(
        tf.cast(found, "float32"), tf.cast(expected, "float32"), rtol=0.02, atol=0.02
    )
