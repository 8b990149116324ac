"""LadaAttention against the paper's equations written out in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from lada_tf.layers import LadaAttention
from tests.layers.layer_checks import run_layer_test

BATCH, TOKENS, WIDTH, HEADS = 2, 11, 12, 3
SIZE = WIDTH // HEADS


def equations(layer, x):
    """Compute equations 1-4 per head and per token, in float64."""
    weights = {
        w.path.split("/", 1)[1]: w.numpy().astype(np.float64) for w in layer.weights
    }
    x = x.numpy().astype(np.float64)
    q, k, v = (
        x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]
        for name in ("query", "key", "value")
    )
    joined = np.zeros_like(q)
    maps = np.zeros((len(x), HEADS, x.shape[1]))
    for b in range(len(x)):
        for h in range(HEADS):
            own = slice(h * SIZE, (h + 1) * SIZE)
            if layer.score == "joint":
                scores = q[b] @ weights["score/kernel"][:, h] + weights["score/bias"][h]
            else:
                scores = q[b, :, own] @ weights["score_vectors"][h]
            exponents = np.exp(scores / np.sqrt(SIZE))
            alpha = exponents / exponents.sum()
            g = sum(alpha[i] * q[b, i, own] for i in range(x.shape[1]))
            maps[b, h] = alpha
            joined[b, :, own] = (g * k[b, :, own]) * v[b, :, own]
    return joined @ weights["output/kernel"] + weights["output/bias"], maps


@pytest.fixture(params=["joint", "per_head"])
def layer(request):
    layer = LadaAttention(HEADS, score=request.param)
    layer.build((None, None, WIDTH))
    for weight in layer.weights:  # biases too: Keras starts them at zero
        weight.assign(tf.random.normal(weight.shape))
    return layer


def test_equations(layer):
    x = tf.random.normal((BATCH, TOKENS, WIDTH))
    output, maps = layer(x, return_attention_maps=True)
    expected, expected_maps = equations(layer, x)
    np.testing.assert_allclose(maps, expected_maps, atol=1e-6)
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(layer(x), output)


def test_any_number_of_tokens_in_one_graph(layer):
    call = tf.function(layer, input_signature=[tf.TensorSpec((None, None, WIDTH))])
    for tokens in (1, 3, 300):
        x = tf.random.normal((BATCH, tokens, WIDTH))
        output, maps = layer(x, return_attention_maps=True)
        np.testing.assert_allclose(call(x), output, rtol=1e-4, atol=1e-4)
        sums = tf.reduce_sum(maps, -1)
        np.testing.assert_allclose(sums, np.ones((BATCH, HEADS)), 1e-5)


def test_permuting_tokens_permutes_the_output(layer):
    x = tf.random.normal((BATCH, TOKENS, WIDTH))
    order = np.random.default_rng(0).permutation(TOKENS)
    permuted = layer(tf.gather(x, order, axis=1))
    expected = tf.gather(layer(x), order, axis=1)
    np.testing.assert_allclose(permuted, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("score", ["joint", "per_head"])
def test_common_behaviour(score, tmp_path):
    x = tf.random.normal((BATCH, TOKENS, WIDTH))
    run_layer_test(LadaAttention(HEADS, score=score), [x.shape], x.shape, tmp_path)


def test_maps_are_float32_and_sum_to_one_in_half_precision():
    layer = LadaAttention(HEADS, dtype="mixed_float16")
    # Scores of about ±1000, which float16 holds only in steps of ½ to 1.
    x = tf.random.normal((BATCH, 2000, WIDTH)) * 300
    output, maps = layer(x, return_attention_maps=True)
    assert output.dtype == "float16"
    assert maps.dtype == "float32"
    np.testing.assert_allclose(tf.reduce_sum(maps, -1), np.ones((BATCH, HEADS)), 1e-5)


def test_bad_arguments():
    with pytest.raises(ValueError, match="num_heads=5 does not divide the width 12"):
        LadaAttention(5)(tf.zeros((1, 2, WIDTH)))
    with pytest.raises(ValueError, match="score='dot' is not one of"):
        LadaAttention(3, score="dot")
