"""PositionEmbedding."""

import numpy as np
import pytest
import tensorflow as tf

from lada_tf.layers import PositionEmbedding
from tests.layers.layer_checks import run_layer_test

TOKENS = (3, 10, 16)


def test_common_behavior(tmp_path):
    run_layer_test(PositionEmbedding(), [TOKENS], TOKENS, tmp_path)


def test_every_token_gets_its_own_vector():
    layer, x = PositionEmbedding(), tf.random.normal(TOKENS)
    added = layer(x) - x
    for image in added:
        np.testing.assert_allclose(image, layer.embeddings, atol=1e-6)
    distances = np.abs(layer.embeddings[:, None] - layer.embeddings[None]).max(-1)
    assert distances[~np.eye(10, dtype=bool)].min() > 0.01


def test_the_number_of_tokens_is_fixed():
    with pytest.raises(ValueError, match="fixed number of tokens"):
        PositionEmbedding().build((None, None, 16))
