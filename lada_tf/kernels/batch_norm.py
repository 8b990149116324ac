"""LeakyReLU, and batch normalization with it, from TensorFlow's own operations."""

import functools

import tensorflow as tf

from lada_tf.kernels import reference
from lada_tf.kernels.xla_kernel import stop_gradients, xla_kernel

SLOPE = reference.LEAKY_RELU_SLOPE


@tf.custom_gradient
def leaky_relu_from_result(x):
    """LeakyReLU(0.2) that stores its result instead of its input for the gradient.

    The gradient depends only on signs, and the result has the same signs. The next
    layer stores the result anyway, so that this saves the memory of the input.
    """
    y = tf.nn.leaky_relu(x, SLOPE)

    def gradient(upstream):
        return tf.raw_ops.LeakyReluGrad(gradients=upstream, features=y, alpha=SLOPE)

    return y, gradient


def cpu_batch_norm_leaky_relu(inputs, gamma, beta, epsilon):
    """`reference.batch_norm_leaky_relu` of a tensor (B, H, W, C).

    On CPUs these operations are faster than an XLA kernel, for values and first
    derivatives. The second derivative is one XLA kernel. No gradient flows through the
    returned statistics. If XLA compiles the whole step, it computes the variance as a
    difference of mean squares, which loses digits when means exceed many deviations.
    """
    tensors = [tf.convert_to_tensor(x) for x in (inputs, gamma, beta)]
    x, scale, offset = stop_gradients(tensors)
    y, mean, variance, *saved = tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=scale,
        offset=offset,
        mean=tf.zeros((0,)),
        variance=tf.zeros((0,)),
        epsilon=epsilon,
        is_training=True,
    )
    activated = tf.nn.leaky_relu(y, SLOPE)

    @tf.custom_gradient
    def gradient(x, gamma, beta, upstream):
        by_y = tf.raw_ops.LeakyReluGrad(
            gradients=upstream, features=activated, alpha=SLOPE
        )
        by_x, by_gamma, by_beta, _, _ = tf.raw_ops.FusedBatchNormGradV3(
            y_backprop=by_y,
            x=x,
            scale=gamma,
            reserve_space_1=saved[0],
            reserve_space_2=saved[1],
            reserve_space_3=saved[2],
            epsilon=epsilon,
            is_training=True,
        )

        def second(*upstreams):
            return _second_derivative(epsilon)(x, gamma, beta, upstream, *upstreams)

        return (by_x, by_gamma, by_beta), second

    @tf.custom_gradient
    def with_gradient(x, gamma, beta):
        return activated, lambda upstream: gradient(x, gamma, beta, upstream)

    count = tf.cast(tf.size(inputs) // inputs.shape[-1], variance.dtype)
    variance = variance * (1 - 1 / count)  # biased, from the unbiased one
    return with_gradient(*tensors), mean, variance


@functools.cache
def _second_derivative(epsilon):
    """(x, γ, β, upstream, *upstreams of its gradients) → gradients by the first four.

    TensorFlow's own second derivative of FusedBatchNorm takes twice the time.
    """

    def apply(*tensors):
        inputs, upstream = tensors[:4], tensors[4:]
        x, gamma, beta, output_gradient = inputs
        with tf.GradientTape() as outer:
            outer.watch(inputs)
            with tf.GradientTape() as inner:
                inner.watch((x, gamma, beta))
                outputs, _, _ = reference.batch_norm_leaky_relu(x, gamma, beta, epsilon)
            gradients = inner.gradient(outputs, (x, gamma, beta), output_gradient)
        return outer.gradient(
            gradients,
            inputs,
            upstream,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )

    return xla_kernel(apply, max_grad_order=0)
