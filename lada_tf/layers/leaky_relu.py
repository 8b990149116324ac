"""LeakyReLU(0.2) that keeps its result alone for the gradient."""

import keras
from keras import ops

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

SLOPE = 0.2


def leaky_relu(x):
    """LeakyReLU(0.2) of a float tensor.

    The gradient asks for nothing but signs, which are those of the result as well. That
    is in memory anyway, for the layer after this one, and TensorFlow's own gradient
    would keep the input too.
    """
    if keras.backend.backend() != "tensorflow":
        return ops.leaky_relu(x, SLOPE)

    @tf.custom_gradient
    def keeping_the_result(x):
        y = tf.nn.leaky_relu(x, SLOPE)

        def gradient(upstream):
            return tf.raw_ops.LeakyReluGrad(gradients=upstream, features=y, alpha=SLOPE)

        return y, gradient

    return keeping_the_result(x)
