"""Elementwise chains as single kernels within a graph that TensorFlow runs.

In a graph each operation of such a chain reads and writes a whole tensor, and most of
what they write is kept until the gradient is due. XLA makes one kernel of a chain and
one of its gradient, which computes again what it needs of the chain's inputs. Matrix
products and convolutions are better left to the graph, whose library is faster.
"""

import contextlib
import functools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

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


@contextlib.contextmanager
def compiling_ahead() -> Iterator[None]:
    """Within it XLA makes the kernels of a graph while the graph is still traced.

    Otherwise it makes each where the graph, as it runs, first comes to it. Tracing is
    Python's, on one core; this is the work of another.
    """
    with ThreadPoolExecutor(1) as executor:
        _ahead.append((executor, set()))
        try:
            yield
        finally:
            _ahead.pop()
            executor.shutdown(cancel_futures=True)


_ahead: list[tuple[ThreadPoolExecutor, set]] = []


def _compiled(function):
    kernel = tf.function(function, jit_compile=True, autograph=False)

    # XLA makes another kernel for calls outside graphs.
    graph = tf.function(lambda *inputs: kernel(*inputs), autograph=False)

    def run_in_graph(specs):
        zeros = [tf.zeros(spec.shape, spec.dtype) for spec in specs]
        graph.get_concrete_function(*specs)(*zeros)

    def call(*tensors):
        if _ahead and all(x.shape.is_fully_defined() for x in tensors):
            executor, seen = _ahead[-1]
            specs = tuple(tf.TensorSpec(x.shape, x.dtype) for x in tensors)
            if (kernel, specs) not in seen:
                seen.add((kernel, specs))
                executor.submit(run_in_graph, specs)
        return kernel(*tensors)

    return call


def _kernel(function, derivatives):
    compiled = _compiled(function)
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

        return compiled(*unrecorded(inputs)), gradient

    return call


def unrecorded(tensors):
    """The same tensors, as ones that no tape watches.

    Of a call that a tape records, TensorFlow traces another graph, which keeps what its
    gradient needs, and XLA compiles that too: within `tf.custom_gradient` for nothing.
    """
    return [tf.stop_gradient(x) for x in tensors]


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
