"""Fast convolutions in training: the numbers of the convolution's definition."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from lada_tf.layers.fast_conv2d import FastConv2D, direct_convolutions
from lada_tf.layers.up_sampling_conv2d import UpSamplingConv2D
from lada_tf.models import LadaGAN
from tests.layers.layer_checks import derivatives

LAYERS = pytest.mark.parametrize("layer_class", [FastConv2D, UpSamplingConv2D])
MAP = (2, 8, 6, 5)


@pytest.fixture
def any_width(monkeypatch):
    for layer_class in (FastConv2D, UpSamplingConv2D):
        monkeypatch.setattr(layer_class, "least_channels", 1)


def products(function, *inputs):
    """The kinds of product in a function's graph."""
    graph = tf.function(function).get_concrete_function(*inputs).graph
    types = {operation.type for operation in graph.get_operations()}
    return types & {"Conv2D", "MatMul", "BatchMatMulV2"}


@LAYERS
@pytest.mark.parametrize("run", ["eager", "graph", "xla"])
def test_values_and_second_derivatives(layer_class, run, any_width):
    layer = layer_class(7, bias_initializer="random_normal")
    x = tf.random.normal(MAP)
    layer.build(MAP)

    def found(x):
        return derivatives(layer, [x], training=True)

    if run != "eager":
        found = tf.function(found, jit_compile=run == "xla")
    for ours, expected in zip(found(x), derivatives(layer, [x], False), strict=True):
        bound = 1e-5 * np.abs(expected).max()
        np.testing.assert_allclose(ours, expected, rtol=0, atol=bound)


@pytest.mark.parametrize("run", ["eager", "graph", "xla"])
@pytest.mark.parametrize(
    ("channels", "filters", "kernel_size", "padding"),
    [
        (3, 8, 3, "same"),
        (8, 3, 3, "same"),
        (8, 1, 4, "valid"),
        (2, 8, (4, 3), "same"),
        (8, 2, (2, 5), "same"),
        (1, 8, (2, 3), "valid"),
    ],
)
def test_few_channels(channels, filters, kernel_size, padding, run):
    layer = FastConv2D(
        filters, kernel_size, padding=padding, bias_initializer="random_normal"
    )
    x = tf.random.normal((2, 7, 6, channels))
    layer.build(x.shape)

    def found(x):
        return derivatives(layer, [x], training=True)

    if run != "eager":
        found = tf.function(found, jit_compile=run == "xla")
    for ours, expected in zip(found(x), derivatives(layer, [x], False), strict=True):
        assert ours.shape == expected.shape
        bound = 1e-5 * np.abs(expected).max()
        np.testing.assert_allclose(ours, expected, rtol=0, atol=bound)


def test_where_channels_are_few():
    """To few channels there is no convolution, and no gradient to few either."""

    def kinds(layer, x, training):
        def gradient(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x, training=training)
            return tape.gradient(y, x)

        graph = tf.function(gradient).get_concrete_function(x).graph
        types = {operation.type for operation in graph.get_operations()}
        return types & {"Conv2D", "Conv2DBackpropInput", "MatMul"}

    to_few, from_few = FastConv2D(3), FastConv2D(8)
    many, few = tf.zeros((1, 4, 4, 8)), tf.zeros((1, 4, 4, 3))
    direct = {"Conv2D", "Conv2DBackpropInput"}
    assert products(lambda x: to_few(x, training=True), many) == {"MatMul"}
    assert kinds(from_few, few, True) == {"Conv2D", "MatMul"}
    assert kinds(to_few, many, False) == kinds(from_few, few, False) == direct
    with direct_convolutions():
        assert kinds(to_few, many, True) == kinds(from_few, few, True) == direct


@LAYERS
def test_rounding_is_no_more_than_the_definition_s(layer_class):
    """At the discriminator's width, against float64."""
    layer = layer_class(256, use_bias=False)
    x = tf.random.normal((2, 16, 16, 256))
    layer.build(x.shape)
    exact = layer.convolution_op(
        tf.cast(x, "float64"), tf.cast(layer.kernel, "float64")
    )
    errors = [
        tf.math.reduce_std(tf.cast(layer(x, training=training), "float64") - exact)
        for training in (True, False)
    ]
    assert errors[0] < 2 * errors[1]
    assert errors[0] < 1e-6 * tf.math.reduce_std(exact)


@LAYERS
def test_where_it_is_taken(layer_class):
    layer, x = layer_class(128), tf.zeros((1, 4, 4, 128))
    half = layer_class(128, dtype="mixed_bfloat16")
    narrow = layer_class(16)
    fast = {FastConv2D: {"MatMul", "BatchMatMulV2"}, UpSamplingConv2D: {"MatMul"}}
    assert products(lambda x: layer(x, training=True), x) == fast[layer_class]
    for other in (
        lambda x: layer(x, training=False),
        lambda x: half(x, training=True),
        lambda x: narrow(x, training=True),
    ):
        assert products(other, x) == {"Conv2D"}
    with direct_convolutions():
        assert products(lambda x: layer(x, training=True), x) == {"Conv2D"}


def test_odd_and_unknown_sizes(any_width):
    layer = FastConv2D(4)
    for shape in ((1, 5, 4, 4), (1, None, 4, 4)):
        spec = tf.TensorSpec(shape)
        assert products(lambda x: layer(x, training=True), spec) == {"Conv2D"}


@LAYERS
def test_configuration(layer_class):
    layer = layer_class(4, use_bias=False, name="of_four")
    again = layer_class.from_config(layer.get_config())
    assert (again.filters, again.use_bias, again.name) == (4, False, "of_four")


BCR = {"bcr_real": 0.5, "bcr_fake": 2.0}
DECODER = {"g_widths": (16, 8), "output_head": "decoder", "decoder_widths": (8,)}


@pytest.mark.usefixtures("as_traced")
@pytest.mark.parametrize(
    ("gradient_checkpointing", "changes"), [(False, BCR), (True, DECODER)]
)
def test_a_training_step(gradient_checkpointing, changes, any_width):
    """All of it: R1 through every convolution, and the generator's gradient."""
    results = []
    for context in (direct_convolutions(), contextlib.nullcontext()):
        keras.utils.set_random_seed(0)
        gan = LadaGAN.from_preset(
            "tiny", r1_gamma=0.1, augment="color", d_widths=(4, 8), **changes
        )
        gan.compile(
            *(keras.optimizers.SGD(0.002) for _ in range(2)),
            gradient_checkpointing=gradient_checkpointing,
        )
        real = keras.random.uniform((4, 32, 32, 3), -1, 1, seed=1)
        before = gan.get_weights()
        with context:
            values, _ = tf.function(gan.step, autograph=False)(real)
        moved = [a - b for a, b in zip(gan.get_weights(), before, strict=True)]
        results.append([values, np.concatenate([np.ravel(each) for each in moved])])
    for found, expected in zip(results[1], results[0], strict=True):
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
