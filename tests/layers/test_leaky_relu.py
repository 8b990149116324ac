"""LeakyReLU that keeps its result alone."""

import numpy as np
import tensorflow as tf

from lada_tf.layers.leaky_relu import leaky_relu


def test_values_and_second_derivatives_are_tensorflow_s():
    x = tf.constant([-2.0, -0.5, 0.0, 0.5, 3.0])
    results = []
    for function in (leaky_relu, lambda x: tf.nn.leaky_relu(x, 0.2)):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = function(x)
                loss = tf.reduce_sum(y**3)
            gradient = inner.gradient(loss, x)
        results.append([y, gradient, outer.gradient(gradient, x)])
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_the_input_is_not_kept():
    @tf.function
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = leaky_relu(x)
        return tape.gradient(y, x)

    graph = gradient.get_concrete_function(tf.TensorSpec((3,))).graph
    (back,) = [op for op in graph.get_operations() if op.type == "LeakyReluGrad"]
    _, features = back.inputs
    assert features.op.type == "LeakyRelu"
