"""Fast kernels against their references, and when they are used."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from lada_tf import kernels
from lada_tf.kernels import reference, upsample_conv, winograd
from tests.derivatives import derivatives

TOKENS, ROW, MAP = (3, 5, 7), (3, 1, 7), (2, 6, 8, 5)
EPSILON = 1e-3


def layer_norm(x, scale, offset):
    return kernels.layer_norm(x, scale, offset, EPSILON)


def batch_norm(x, gamma, beta):
    gamma, beta = tf.cast(gamma, "float32"), tf.cast(beta, "float32")
    return kernels.batch_norm_leaky_relu(x, gamma, beta, EPSILON)[0]


def conv2d(x, kernel):
    return kernels.conv2d(x, kernel, padding="same")


# Name, function, shapes of its inputs. Sizes are odd where the kernel allows it.
CASES = [
    ("gelu", kernels.gelu, [TOKENS]),
    ("layer_norm", layer_norm, [TOKENS, (7,), (7,)]),
    ("modulated layer_norm", layer_norm, [TOKENS, ROW, ROW]),
    ("batch_norm of maps", batch_norm, [(3, 5, 3, 6), (6,), (6,)]),
    ("batch_norm of rows", batch_norm, [(45, 6), (6,), (6,)]),
    ("winograd", conv2d, [MAP, (3, 3, 5, 7)]),
    ("upsample_conv2d", kernels.upsample_conv2d, [(2, 3, 5, 5), (3, 3, 5, 7)]),
]
# Largest error, relative to the largest reference value. In bfloat16, one rounding is
# 2⁻⁸, and a second derivative has several in a row.
TOLERANCES = {"float32": 3e-5, "bfloat16": 8 * 2.0**-8}


@pytest.fixture
def any_width(monkeypatch):
    """Use the fast convolutions for narrow maps too."""
    for module in (winograd, upsample_conv):
        monkeypatch.setattr(module, "MIN_CHANNELS", 1)


@pytest.mark.usefixtures("any_width")
@pytest.mark.parametrize(
    ("run", "dtype"),
    [
        ("graph", "float32"),
        pytest.param("graph", "bfloat16", marks=pytest.mark.slow),
        pytest.param("xla", "float32", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    ("function", "shapes"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_values_and_two_derivatives_equal_the_reference(function, shapes, dtype, run):
    inputs = [
        1 + keras.random.normal(shape, seed=seed) for seed, shape in enumerate(shapes)
    ]
    if len(shapes[-1]) == 4:  # a convolution: scale the outputs to about 1
        inputs[1] = (inputs[1] - 1) / np.prod(shapes[1][:-1]) ** 0.5
    rounded = [tf.cast(tf.cast(x, dtype), "float32") for x in inputs]

    def in_dtype(*tensors):
        return tf.cast(function(*(tf.cast(x, dtype) for x in tensors)), "float32")

    def traced(enabled, **options):
        def compute(*tensors):
            with kernels.fast(enabled):
                return derivatives(in_dtype, tensors)

        return tf.function(compute, autograph=False, **options)(*rounded)

    expected = traced(False)
    found = traced(True, jit_compile=run == "xla")
    for value, reference_value in zip(found, expected, strict=True):
        assert value.shape == reference_value.shape
        bound = TOLERANCES[dtype] * np.abs(reference_value).max()
        np.testing.assert_allclose(value, reference_value, rtol=0, atol=bound)


@pytest.mark.usefixtures("any_width")
@pytest.mark.parametrize(
    ("function", "shapes"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_only_the_outermost_fast_context_selects_the_kernel(function, shapes):
    inputs = [tf.ones(shape) for shape in shapes]

    def operations(*contexts):
        def call(*tensors):
            with contextlib.ExitStack() as stack:
                for enabled in contexts:
                    stack.enter_context(kernels.fast(enabled))
                return function(*tensors)

        graph = tf.function(call, autograph=False).get_concrete_function(*inputs).graph
        return sorted(op.type for op in graph.get_operations())

    assert operations(False, True) == operations()
    assert operations(True, False) == operations(True) != operations()


@pytest.mark.parametrize(
    ("shape", "kernel_shape", "arguments"),
    [
        ((1, 5, 4, 8), (3, 3, 8, 8), {"padding": "same"}),  # an odd side
        ((1, None, 4, 8), (3, 3, 8, 8), {"padding": "same"}),  # an unknown side
        ((1, 4, 4, 8), (3, 3, 8, 8), {"padding": "valid"}),
        ((1, 4, 4, 8), (5, 5, 8, 8), {"padding": "same"}),
        ((1, 4, 4, 8), (3, 3, 8, 8), {"padding": "same", "strides": 2}),
        ((1, 4, 4, 8), (3, 3, 8, 8), {"padding": "same", "dilation_rate": (2, 1)}),
        ((1, 4, 4, 8), (3, 3, 4, 8), {"padding": "same"}),  # two groups
    ],
)
@pytest.mark.usefixtures("any_width")
def test_other_convolutions_take_the_reference(shape, kernel_shape, arguments):
    """Fast algorithms do not support these. Results equal the reference exactly."""
    x = tf.random.normal([side or 6 for side in shape])
    kernel = tf.random.normal(kernel_shape)

    def apply(x):
        with kernels.fast():
            return kernels.conv2d(x, kernel, **arguments)

    found = tf.function(apply, input_signature=[tf.TensorSpec(shape)])(x)
    full = {"strides": 1, "dilation_rate": 1, **arguments}
    expected = tf.function(lambda x: reference.conv2d(x, kernel, **full))(x)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("function", "kernel_shape"),
    [
        (conv2d, (3, 3, 256, 256)),
        (kernels.upsample_conv2d, (3, 3, 256, 256)),
    ],
    ids=["conv2d", "upsample_conv2d"],
)
def test_rounding_errors_are_no_larger_than_the_references(function, kernel_shape):
    """At the discriminator's width, against float64."""
    x = tf.random.normal((2, 16, 16, 256))
    kernel = tf.random.normal(kernel_shape)
    exact = function(tf.cast(x, "float64"), tf.cast(kernel, "float64"))
    errors = []
    for enabled in (True, False):
        with kernels.fast(enabled):
            difference = tf.cast(function(x, kernel), "float64") - exact
        errors.append(tf.math.reduce_std(difference))
    assert errors[0] < 2 * errors[1]
    assert errors[0] < 1e-6 * tf.math.reduce_std(exact)


def test_reference_upsampling_convolution_equals_both_in_sequence():
    x, kernel = tf.random.normal((2, 4, 3, 6)), tf.random.normal((3, 3, 6, 5))

    def in_sequence(x, kernel):
        doubled = tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)
        return tf.nn.conv2d(doubled, kernel, 1, "SAME")

    found = derivatives(reference.upsample_conv2d, (x, kernel))
    for value, expected in zip(
        found, derivatives(in_sequence, (x, kernel)), strict=True
    ):
        bound = 1e-5 * np.abs(expected).max()
        np.testing.assert_allclose(value, expected, rtol=0, atol=bound)


def test_reference_gelu_equals_tensorflow():
    x = tf.random.normal((1000,), stddev=3.0)
    exact = derivatives(tf.nn.gelu, [tf.cast(x, tf.float64)])
    for value, expected in zip(derivatives(reference.gelu, [x]), exact, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)
