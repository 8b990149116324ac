"""Compile chains of elementwise operations into single kernels with XLA.

In a TensorFlow graph, each operation of such a chain reads and writes a whole tensor,
and most of these tensors are stored until the backward pass. XLA compiles the chain
into one kernel, and its gradient into another that recomputes what it needs from the
chain's inputs. Matmuls and convolutions stay in the graph, whose library is faster.
"""

import functools

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


def xla_kernel(function, max_grad_order=2):
    """Compile a function with XLA, and its gradients up to an order.

    Args:
        function: callable, tensors to a tensor or a tuple of tensors, without variables
            or random numbers.
        max_grad_order: int. Gradients up to this order are one kernel each; R1 needs
            two (eq 14). Gradients of higher order are correct, but slower.

    Returns:
        A callable with the same positional arguments and results, up to rounding. If
        XLA cannot compile for the default device, it calls `function`.
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
        """(*inputs, *gradients by the outputs) → gradients by the inputs."""

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
    """Return the same tensors, detached from every gradient tape.

    A call that a tape records makes TensorFlow trace and compile a second graph that
    also stores what the gradient needs. Inside `tf.custom_gradient` nothing uses it.
    """
    return [tf.stop_gradient(x) for x in tensors]


@functools.cache
def xla_is_available():
    """Return whether XLA compiles for the default device. Tried once per process."""
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
    """Return whether TensorFlow has no accelerator and XLA compiles for the CPU."""
    if keras.backend.backend() != "tensorflow":
        return False
    devices = tf.config.list_physical_devices()
    return all(device.device_type == "CPU" for device in devices) and xla_is_available()
