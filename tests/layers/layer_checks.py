"""What every public layer must do, checked in one place."""

import keras
import numpy as np
import tensorflow as tf

BFLOAT16_STEP = 2.0**-7


def run_layer_test(layer, input_shapes, expected_shape, directory):
    """Check shapes, serialization, symbolic calls, XLA, gradients and dtypes.

    Args:
        layer: an unbuilt layer that draws no random numbers.
        input_shapes: shapes of its inputs, with a batch size of at least 2.
        expected_shape: shape of its output.
        directory: a temporary directory.
    """
    inputs = [tf.random.normal(shape) for shape in input_shapes]
    output = layer(*inputs)
    assert output.shape == expected_shape
    assert output.dtype == "float32"
    _check_model_file(layer, inputs, output, directory)
    _check_xla(layer, inputs, output)
    _check_gradients(layer, inputs)
    _check_mixed_precision(layer, inputs, output)


def _check_model_file(layer, inputs, output, directory):
    """Save and load a functional model with a free batch size."""
    symbols = [keras.Input(x.shape[1:]) for x in inputs]
    model = keras.Model(symbols, layer(*symbols))
    assert model.output_shape == (None, *output.shape[1:])
    model.save(directory / "model.keras")
    loaded = keras.saving.load_model(directory / "model.keras")
    np.testing.assert_allclose(loaded(inputs), output, atol=1e-6)
    # One image alone: the batch size is free, and images do not mix. BLAS sums in
    # another order for another batch size, hence the tolerance.
    one = loaded([x[:1] for x in inputs])
    np.testing.assert_allclose(one, output[:1], rtol=1e-4, atol=1e-5)


def _check_xla(layer, inputs, output):
    compiled = tf.function(lambda *xs: layer(*xs), jit_compile=True)
    # XLA fuses and reorders float32 sums: a few units in the last place.
    np.testing.assert_allclose(compiled(*inputs), output, rtol=1e-4, atol=1e-5)


def _check_gradients(layer, inputs):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.reduce_sum(tf.math.sin(layer(*inputs)))
    for gradient in tape.gradient(loss, [*inputs, *layer.trainable_variables]):
        assert np.isfinite(gradient).all()


def _check_mixed_precision(layer, inputs, output):
    half = type(layer).from_config({**layer.get_config(), "dtype": "mixed_bfloat16"})
    half(*inputs)
    half.set_weights(layer.get_weights())
    assert all(weight.dtype == "float32" for weight in half.weights)
    result = half(*inputs)
    assert result.dtype == "bfloat16"
    # A dozen roundings to 8 bits, relative to the output's scale.
    error = np.abs(np.asarray(result, np.float32) - output).max()
    assert error <= 12 * BFLOAT16_STEP * np.abs(output).max()
