"""Orthogonal initialization: Keras' values by another decomposition."""

import keras
import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf
import threadpoolctl

from lada_tf.kernels import Orthogonal
from lada_tf.layers._common import initializer_config


@pytest.mark.parametrize("shape", [(40, 7), (7, 40), (3, 3, 5, 8), (1, 1, 2, 32)])
@pytest.mark.parametrize("traced", [False, True])
def test_values_equal_those_of_keras(shape, traced):
    ours = Orthogonal(gain=2.0, seed=3)
    draw = tf.function(ours) if traced else ours
    expected = keras.initializers.Orthogonal(gain=2.0, seed=3)(shape)
    np.testing.assert_allclose(draw(shape), expected, atol=1e-5)


def test_every_weight_gets_its_own_values():
    for identifier in ("orthogonal", keras.initializers.Orthogonal()):
        config = initializer_config(identifier)
        layers = [keras.layers.Dense(8, kernel_initializer=config) for _ in range(2)]
        for layer in layers:
            layer.build((None, 8))
            assert type(layer.kernel_initializer) is Orthogonal
        first, second = (layer.get_weights()[0] for layer in layers)
        assert np.abs(first - second).max() > 0.1
        np.testing.assert_allclose(first @ first.T, np.eye(8), atol=1e-5)


def test_it_uses_one_thread(monkeypatch):
    def threads():
        libraries = threadpoolctl.threadpool_info()
        return [lib["num_threads"] for lib in libraries if lib["user_api"] == "blas"]

    within = []
    qr = scipy.linalg.qr

    def watched(*args, **kwargs):
        within.append(threads())
        return qr(*args, **kwargs)

    monkeypatch.setattr(scipy.linalg, "qr", watched)
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        Orthogonal(seed=1)((16, 16))
        assert 2 in threads()
    assert within
    assert 2 not in within[0]
