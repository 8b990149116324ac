"""BatchNormLeakyReLU: batch normalization, then LeakyReLU(0.2)."""

import keras

from lada_tf import kernels


@keras.saving.register_keras_serializable("lada_tf")
class BatchNormLeakyReLU(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, then LeakyReLU(0.2).

    The arguments are those of `keras.layers.BatchNormalization`. For example, with
    `synchronized=True` the replicas of a `tf.distribute` strategy share their
    statistics.

    Call arguments:
        inputs: float tensor (..., C).
        training: bool. If True, normalize with the statistics of the batch and update
            the moving statistics.
        mask: bool (...), or None. The statistics ignore positions where it is False.

    Returns:
        A tensor with the shape of the inputs.

    Example:

    >>> BatchNormLeakyReLU()(keras.random.normal((2, 8, 8, 16)), training=True).shape
    (2, 8, 8, 16)
    """

    def call(
        self,
        inputs: kernels.Tensor,
        training: bool | None = None,
        mask: kernels.Tensor | None = None,
    ) -> kernels.Tensor:
        is_plain = self.axis == -1 and self.center and self.scale and mask is None
        if not training or not self.trainable or self.synchronized or not is_plain:
            return kernels.leaky_relu(super().call(inputs, training, mask))
        outputs, mean, variance = kernels.batch_norm_leaky_relu(
            inputs, self.gamma, self.beta, self.epsilon
        )
        pairs = (self.moving_mean, mean), (self.moving_variance, variance)
        for moving, value in pairs:
            moving.assign(moving * self.momentum + value * (1 - self.momentum))
        return outputs
