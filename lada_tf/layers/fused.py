"""Elementwise chains as single kernels within a graph that TensorFlow runs.

In a graph each operation of such a chain reads and writes a whole tensor, and most of
what they write is kept until the gradient is due. XLA makes one kernel of a chain and
one of its gradient, which computes again what it needs of the chain's inputs. Matrix
products and convolutions are better left to the graph, whose library is faster.
"""

import functools

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


def fused(function, derivatives=2):
    """The function as a kernel that XLA makes, as are its first derivatives.

    Where XLA compiles nothing for the default device, and with Keras' other backends,
    this is the function itself.

    Args:
        function: callable, tensors → tensor or tuple of tensors, of TensorFlow's or
            `keras.ops`' operations, without variables or random numbers.
        derivatives: int, how many times over the gradient is one kernel. R1 takes two
            (eq 14). Later gradients are right too, as graphs.

    Returns:
        A callable of the same positional arguments and results, up to rounding.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    kernel = _kernel(function, derivatives)

    def call(*inputs):
        tensors = [tf.convert_to_tensor(x) for x in inputs]
        return (kernel if _compiles() else function)(*tensors)

    return call


def _kernel(function, derivatives):
    compiled = tf.function(function, jit_compile=True, autograph=False)
    if derivatives == 0:
        return compiled

    @functools.cache
    def pullback(number_of_inputs):
        """(*inputs, *gradients by the outputs) → gradients by the inputs."""

        def gradient(*tensors):
            inputs = tensors[:number_of_inputs]
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                outputs = tf.nest.flatten(function(*inputs))
            return tape.gradient(
                outputs,
                inputs,
                tensors[number_of_inputs:],
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )

        return _kernel(gradient, derivatives - 1)

    @tf.custom_gradient
    def call(*inputs):
        def gradient(*upstream):
            return pullback(len(inputs))(*inputs, *upstream)

        return compiled(*inputs), gradient

    return call


@functools.cache
def on_processor():
    """Whether TensorFlow has nothing but processors, for which XLA makes kernels."""
    if keras.backend.backend() != "tensorflow":
        return False
    devices = tf.config.list_physical_devices()
    return all(device.device_type == "CPU" for device in devices) and _compiles()


@functools.cache
def _compiles():
    """Whether XLA compiles for the default device; it is tried once."""
    try:
        with tf.init_scope():
            tf.function(tf.math.exp, jit_compile=True)(tf.zeros(()))
    except (tf.errors.OpError, ValueError):
        return False
    return True
