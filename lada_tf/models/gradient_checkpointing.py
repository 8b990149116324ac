"""Gradient checkpointing: stages of a network that are computed again for gradients."""

import keras
import tensorflow as tf


def recomputed(function):
    """The function, of which only the inputs are kept until its gradient is due.

    The gradient computes the function again (arXiv:1604.06174). Of first order: what
    the second computation made is kept if that gradient has a gradient in its turn; see
    `input_gradient`.

    Args:
        function: callable, tensors → tensor or tensors, of Keras layers. It draws no
            random numbers. Statistics that it updates are updated the first time alone.

    Returns:
        A callable of the same positional arguments and results.
    """

    @tf.custom_gradient
    def call(*inputs):
        def gradient(*output_gradients, variables=()):
            again = [_after(output_gradients[0], tensor) for tensor in inputs]
            with keras.StatelessScope(), tf.GradientTape() as tape:
                tape.watch(again)
                outputs = function(*again)
            gradients = tape.gradient(
                outputs,
                [*again, *variables],
                output_gradients,
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            return gradients[: len(again)], gradients[len(again) :]

        return function(*inputs), gradient

    return call


def input_gradient(function, inputs, output_gradient):
    """The gradient of a function by its input, as a function that can be `recomputed`.

    It computes the function again, so that nothing is kept from its first call.

    Args:
        function: as of `recomputed`, of one tensor, with one tensor as its result.
        inputs: the tensor.
        output_gradient: tensor of the shape of the result.

    Returns:
        A tensor of the shape of the input.
    """
    with keras.StatelessScope():
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            again = _after(output_gradient, inputs)
            tape.watch(again)
            outputs = function(again)
        return tape.gradient(outputs, again, output_gradient)


def _after(first, tensor):
    """The tensor, as a result of `first`.

    A graph would otherwise begin early what it has the inputs of, and XLA would take
    the second computation for the first. Control dependencies are nothing to XLA.
    """
    element = tf.stop_gradient(tf.reshape(first, [-1])[0])
    zero = tf.where(tf.equal(element, element), tf.zeros_like(element), element)
    return tensor + tf.cast(zero, tensor.dtype)
