"""SLN: layer normalization modulated by a latent."""

import numpy as np
import tensorflow as tf

from lada_tf.layers import SLN
from tests.layers.layer_checks import run_layer_test

TOKENS, LATENTS = (3, 10, 16), (3, 7)


def test_common_behavior(tmp_path):
    run_layer_test(SLN(), [TOKENS, LATENTS], TOKENS, tmp_path)


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
