"""xla_kernel: functions compiled by XLA, and their gradients."""

import numpy as np
import pytest
import tensorflow as tf

from lada_tf.kernels import reference
from lada_tf.kernels.xla_kernel import xla_kernel


def nested_gradients(function, inputs, order):
    """Return the function's value and the gradients up to an order.

    Sums of sines are differentiated, so that every element has its own upstream
    gradient.
    """
    if order == 0:
        return [function(inputs)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        results = nested_gradients(function, inputs, order - 1)
        loss = tf.reduce_sum(tf.sin(results[-1]))
    return [*results, tape.gradient(loss, inputs)]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_gradients_beyond_max_grad_order_are_right_too(jit_compile):
    x = tf.random.normal((1000,), stddev=3.0)
    kernel = xla_kernel(reference.gelu, max_grad_order=2)
    ours = tf.function(
        lambda x: nested_gradients(kernel, x, 3), jit_compile=jit_compile
    )(x)
    exact = nested_gradients(tf.nn.gelu, tf.cast(x, tf.float64), 3)
    for value, expected in zip(ours, exact, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("max_grad_order", [0, 1, 2])
def test_functions_of_several_tensors(max_grad_order):
    def function(x, y, z):
        return x * y + z, tf.tanh(x) * z

    x, y, z = tf.unstack(tf.random.normal((3, 7)))
    results = []
    for each in (function, xla_kernel(function, max_grad_order)):
        with tf.GradientTape() as tape:
            tape.watch([x, y, z])
            first, second = each(x, y, z)
            loss = tf.reduce_sum(first * second**2)
        results.append([loss, *tape.gradient(loss, [x, y, z])])
    for value, expected in zip(*results, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


def test_a_tape_does_not_make_xla_compile_a_second_kernel():
    kernel = xla_kernel(tf.math.sin)

    def gradients(x):
        return nested_gradients(kernel, x, 2)

    graph = tf.function(gradients).get_concrete_function(tf.TensorSpec((2, 3))).graph
    calls = [op for op in graph.get_operations() if op.type.endswith("PartitionedCall")]
    names = {call.get_attr("f").name for call in calls}
    assert len(names) == 3  # the value and two gradients
    assert not any("forward" in name for name in names)
