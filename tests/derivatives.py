"""Derivatives of functions, to compare two implementations of the same function."""

import tensorflow as tf


def derivatives(function, inputs, variables=()):
    """Return outputs, their gradients, and the gradients of these gradients' squares.

    This is what R1 needs. The squares are weighted, so that nothing cancels out: the
    gradients of a normalization add up to 0.

    Args:
        function: callable, tensors → tensor.
        inputs: its arguments.
        variables: variables that it uses.
    """
    inputs = list(inputs)
    sources = [*inputs, *variables]
    with tf.GradientTape() as outer:
        outer.watch(inputs)
        with tf.GradientTape() as inner:
            inner.watch(inputs)
            outputs = function(*inputs)
            loss = tf.reduce_sum(tf.sin(outputs))
        gradients = inner.gradient(loss, sources)
        squares = sum(
            tf.reduce_sum(tf.cast(tf.linspace(1.0, 2.0, g.shape[-1]), g.dtype) * g**2)
            for g in gradients
        )
    return [outputs, *gradients, *outer.gradient(squares, sources)]
