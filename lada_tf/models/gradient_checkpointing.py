"""Gradient checkpointing: recompute activations during the backward pass."""

from collections.abc import Callable
from typing import Any

import keras

from lada_tf.kernels import Tensor

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


def call_layer(layer: Callable, *inputs: Any, recompute: bool, **arguments: Any) -> Any:
    """Call a layer. If `recompute` is True, store only its inputs for the gradient."""
    if not recompute:
        return layer(*inputs, **arguments)
    return recomputed(lambda *tensors: layer(*tensors, **arguments))(*inputs)


def recomputed(function: Callable) -> Callable:
    """Return a function that stores only its inputs for the backward pass.

    The backward pass computes the function again (arXiv:1604.06174). Use it for first
    derivatives only: a second derivative would store the recomputed activations. For
    second derivatives, see `input_gradient`.

    Args:
        function: callable, tensors → tensor or tensors, made of Keras layers. It must
            not draw random numbers. Its second run does not update batch statistics.

    Returns:
        A callable with the same positional arguments and results.

    Raises:
        NotImplementedError: on a backend other than TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise NotImplementedError(
            "gradient_checkpointing=True needs KERAS_BACKEND=tensorflow"
        )

    @tf.custom_gradient
    def call(*inputs):
        def gradient(*output_gradients, variables=()):
            again = [_with_data_dependency(output_gradients[0], x) for x in inputs]
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


def recomputed_input_gradients(
    stages: list[Callable], images: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """Return logits and ∇ₓ (scale · Σ logits(x)), both with gradient checkpointing.

    Args:
        stages: callables, tensor → tensor. The discriminator is their composition.
        images: float32 (B, H, W, C).
        scale: float, factor of the gradients.

    Returns:
        Logits (B, 25) and gradients (B, H, W, C). For their backward passes, only the
        inputs of each stage and the gradients between stages are stored.
    """
    inputs = [images]
    for stage in stages:
        inputs.append(recomputed(stage)(inputs[-1]))
    logits = inputs.pop()
    gradient = scale * tf.ones_like(logits)
    for stage, x in zip(reversed(stages), reversed(inputs), strict=True):
        gradient = recomputed(input_gradient(stage))(x, gradient)
    return logits, gradient


def input_gradient(function: Callable) -> Callable:
    """Return a function's gradient as a function that `recomputed` accepts.

    Args:
        function: callable as in `recomputed`, with one input and one output.

    Returns:
        A callable, (input, output gradient) → input gradient. It computes the function
        again, so it needs no stored activations.
    """

    def gradient(inputs, output_gradient):
        with keras.StatelessScope():
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                again = _with_data_dependency(output_gradient, inputs)
                tape.watch(again)
                outputs = function(again)
            return tape.gradient(outputs, again, output_gradient)

    return gradient


def _with_data_dependency(first, tensor):
    """Return the tensor unchanged, but not before `first` is computed.

    Otherwise, TensorFlow would start the second computation early, and XLA would merge
    it with the first one. XLA ignores control dependencies, so this adds a zero that
    depends on `first`.
    """
    element = tf.stop_gradient(tf.reshape(first, [-1])[0])
    zero = tf.where(tf.equal(element, element), tf.zeros_like(element), element)
    return tensor + tf.cast(zero, tensor.dtype)
