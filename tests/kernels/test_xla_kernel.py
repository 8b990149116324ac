"""Kernels of elementwise chains against the same mathematics as plain layers."""

from concurrent import futures

import keras
import numpy as np
import pytest
import tensorflow as tf

from lada_tf.kernels.xla_kernel import compiling_ahead, fused
from lada_tf.layers.batch_norm_leaky_relu import BatchNormLeakyReLU
from lada_tf.layers.gelu import fused_gelu

SHAPE = (3, 4, 5, 6)


def derivatives(function, inputs, orders):
    """The function's value and, one after the other, gradients of gradients.

    What is differentiated is a sum of sines, so that each has an upstream gradient of
    its own at each element.
    """
    if orders == 0:
        return [function(inputs)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        results = derivatives(function, inputs, orders - 1)
        loss = tf.reduce_sum(tf.sin(results[-1]))
    return [*results, tape.gradient(loss, inputs)]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_gelu_and_three_derivatives_are_tensorflows(jit_compile):
    x = tf.random.normal((1000,), stddev=3.0)
    ours = tf.function(
        lambda x: derivatives(fused_gelu, x, 3), jit_compile=jit_compile
    )(x)
    exact = derivatives(tf.nn.gelu, tf.cast(x, tf.float64), 3)
    for found, expected in zip(ours, exact, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_function_of_several_tensors():
    def function(x, y, z):
        return x * y + z, tf.tanh(x) * z

    x, y, z = tf.unstack(tf.random.normal((3, 7)))
    for each in (function, fused(function), fused(function, derivatives=0)):
        with tf.GradientTape() as tape:
            tape.watch([x, y, z])
            first, second = each(x, y, z)
            loss = tf.reduce_sum(first * second**2)
        results = [loss, *tape.gradient(loss, [x, y, z])]
        if each is function:
            expected = results
        for found, plain in zip(results, expected, strict=True):
            np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-6)


def test_kernels_are_compiled():
    graph = tf.function(fused_gelu).get_concrete_function(tf.zeros((2,))).graph
    calls = graph.as_graph_def().node
    assert any(call.attr["_XlaMustCompile"].b for call in calls)


def test_kernels_are_compiled_while_the_graph_is_traced(monkeypatch):
    tasks = []

    class Executor(futures.ThreadPoolExecutor):
        def submit(self, *task):
            tasks.append(super().submit(*task))

        def shutdown(self, **_):
            super().shutdown()

    monkeypatch.setattr("lada_tf.kernels.xla_kernel.ThreadPoolExecutor", Executor)

    def loss(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = fused_gelu(x) + fused_gelu(2 * x)
        return tape.gradient(y, x)

    with compiling_ahead():
        tf.function(loss).get_concrete_function(tf.TensorSpec((2, 3)))
        tf.function(fused_gelu).get_concrete_function(tf.TensorSpec((None, 3)))
    assert len(tasks) == 2  # GELU and its gradient, once each
    assert [task.exception() for task in tasks] == [None, None]
    tf.function(loss).get_concrete_function(tf.TensorSpec((2, 3)))
    assert len(tasks) == 2


def test_a_tape_makes_no_other_kernels():
    def loss(x):
        return derivatives(fused_gelu, x, 2)

    graph = tf.function(loss).get_concrete_function(tf.TensorSpec((2, 3))).graph
    operations = graph.get_operations()
    calls = [each for each in operations if each.type.endswith("PartitionedCall")]
    names = {call.get_attr("f").name for call in calls}
    assert len(names) == 3
    assert not any("forward" in name for name in names)


# On processors maps take another way.
@pytest.mark.parametrize("shape", [SHAPE, (60, 6)])
def test_batch_norm_is_kerass_with_leaky_relu_after_it(shape):
    norm, plain = BatchNormLeakyReLU(), keras.layers.BatchNormalization()
    x = tf.random.normal(shape, mean=2.0, stddev=3.0)
    results = []
    for layer in (norm, plain):
        layer.build(shape)
        layer.gamma.assign(tf.linspace(-1.0, 2.0, 6))
        layer.beta.assign(tf.linspace(-2.0, 1.0, 6))

        def apply(x, layer=layer):
            y = layer(x, training=True)
            return y if layer is norm else tf.nn.leaky_relu(y, 0.2)

        with tf.GradientTape() as tape:
            y, r1 = derivatives(apply, x, 1)
            loss = tf.reduce_sum(r1**2) + tf.reduce_sum(y**3)
        gradients = tape.gradient(loss, layer.trainable_variables)
        results.append([y, r1, *gradients, *layer.get_weights()])
        results[-1].append(tf.nn.leaky_relu(layer(x), 0.2 if layer is plain else 1.0))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


def test_batch_norm_in_half_precision_keeps_statistics_in_float32():
    x = tf.random.normal(SHAPE, mean=100.0)
    whole, half = BatchNormLeakyReLU(), BatchNormLeakyReLU(dtype="mixed_bfloat16")
    expected, found = whole(x, training=True), half(x, training=True)
    assert found.dtype == "bfloat16"
    rounded = tf.cast(tf.cast(x, tf.bfloat16), tf.float32)
    np.testing.assert_allclose(
        half.moving_mean, 0.01 * tf.reduce_mean(rounded, (0, 1, 2)), rtol=1e-5
    )
    assert np.isfinite(expected).all()
