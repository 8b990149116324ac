"""FusedAdam against Keras' Adam."""

import keras
import numpy as np

from lada_tf.kernels import FusedAdam


def test_fused_adam_is_adam():
    start = [keras.random.normal((7, 3), seed=n) for n in range(2)]
    ends = []
    for adam in (keras.optimizers.Adam, FusedAdam):
        optimizer = adam(0.01, beta_1=0.5, beta_2=0.99)
        variables = [keras.Variable(value) for value in start]
        for step in range(5):
            gradients = [keras.random.normal((7, 3), seed=step) * v for v in variables]
            optimizer.apply(gradients, variables)
        ends.append([*variables, *optimizer.variables])
    for ours, theirs in zip(*ends, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)
