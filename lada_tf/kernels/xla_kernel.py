"""Compile chains of elementwise operations into single kernels with XLA.

In a TensorFlow graph, each operation of such a chain reads and writes a whole tensor.
The graph stores most of these tensors until the backward pass. XLA compiles the chain
into one kernel. It compiles the gradient into another one, which recomputes
intermediate values from the chain's inputs. Matmuls and convolutions stay outside:
TensorFlow's own are faster.
"""

import functools

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


def xla_kernel(function, max_grad_order=2):
    """Compile a function and its gradients with XLA.

    Args:
        function: callable, tensors → tensor or tuple of tensors, without variables or
            random numbers.
        max_grad_order: int. Gradients up to this order are one kernel each. R1 needs
            order two (eq 14). Gradients of higher orders are correct, but slower.

    Returns:
        A callable with the same positional arguments, and the same results up to
        rounding. If XLA cannot compile for the default device, it calls `function`.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    kernel = _differentiable(function, max_grad_order)

    def call(*inputs):
        tensors = [tf.convert_to_tensor(x) for x in inputs]
        return (kernel if xla_is_available() else function)(*tensors)

    return call


def _differentiable(function, max_grad_order):
    compiled = tf.function(function, jit_compile=True, autograph=False)
    if max_grad_order == 0:
        return compiled

    @functools.cache
    def pullback(num_inputs):
        """Return the function (*inputs, *output gradients) → input gradients."""

        def gradient(*tensors):
            inputs = tensors[:num_inputs]
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                outputs = tf.nest.flatten(function(*inputs))
            return tape.gradient(
                outputs,
                inputs,
                tensors[num_inputs:],
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )

        return _differentiable(gradient, max_grad_order - 1)

    @tf.custom_gradient
    def call(*inputs):
        def gradient(*upstream):
            return pullback(len(inputs))(*inputs, *upstream)

        return compiled(*stop_gradients(inputs)), gradient

    return call


def stop_gradients(tensors):
    """Detach tensors from all gradient tapes.

    If a tape records a call, TensorFlow compiles a second graph, which also stores
    tensors for the gradient. Inside `tf.custom_gradient`, this would be useless.
    """
    return [tf.stop_gradient(x) for x in tensors]


@functools.cache
def xla_is_available():
    """Return whether XLA can compile for the default device."""
    if keras.backend.backend() != "tensorflow":
        return False
    try:
        with tf.init_scope():
            tf.function(tf.math.exp, jit_compile=True)(tf.zeros(()))
    except (tf.errors.OpError, ValueError):
        return False
    return True


@functools.cache
def cpu_only_with_xla():
    """Return whether TensorFlow has no accelerator and XLA can compile for the CPU."""
    if keras.backend.backend() != "tensorflow":
        return False
    devices = tf.config.list_physical_devices()
    return all(device.device_type == "CPU" for device in devices) and xla_is_available()
