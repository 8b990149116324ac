"""Batch normalization and LeakyReLU, in training as one kernel."""

import keras
from keras import ops

from lada_tf.layers.fused import fused
from lada_tf.layers.leaky_relu import SLOPE

EPSILON = 1e-3


@keras.saving.register_keras_serializable("lada_tf")
class BatchNormLeakyReLU(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` over the last axis, then LeakyReLU(0.2).

    The same numbers as the two layers', up to rounding; in training in less time and
    memory, unless it is synchronized.

    Args:
        synchronized: bool, whether batches of all replicas of a `tf.distribute`
            strategy share their statistics.

    Call arguments:
        inputs: float tensor (..., C).
        training: bool, whether to normalize by the statistics of the batch and to
            update the moving ones.

    Returns:
        A tensor of the inputs' shape.

    Example:

    >>> BatchNormLeakyReLU()(keras.random.normal((2, 8, 8, 16)), training=True).shape
    (2, 8, 8, 16)
    """

    def __init__(self, synchronized=False, **kwargs):
        super().__init__(epsilon=EPSILON, synchronized=synchronized, **kwargs)

    def call(self, inputs, training=None):
        if not training or not self.trainable or self.synchronized:
            return ops.leaky_relu(super().call(inputs, training=training), SLOPE)
        outputs, mean, variance = _normalize(inputs, self.gamma, self.beta)
        for moving, value in (
            (self.moving_mean, mean),
            (self.moving_variance, variance),
        ):
            moving.assign(moving * self.momentum + value * (1 - self.momentum))
        return outputs

    def get_config(self):
        kept = ("name", "trainable", "dtype", "synchronized")
        config = super().get_config()
        return {name: config[name] for name in kept}


@fused
def _normalize(inputs, gamma, beta):
    """Outputs, and the batch's mean and variance; all in float32 but the outputs."""
    x = ops.reshape(ops.cast(inputs, "float32"), (-1, inputs.shape[-1]))
    mean = ops.mean(x, axis=0)
    centered = x - mean
    variance = ops.mean(centered * centered, axis=0)
    y = centered * (gamma * ops.rsqrt(variance + EPSILON)) + beta
    y = ops.leaky_relu(y, SLOPE)
    return ops.cast(ops.reshape(y, ops.shape(inputs)), inputs.dtype), mean, variance
