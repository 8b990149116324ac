"""What every public layer has to do, checked in one place."""

import keras
import numpy as np
import tensorflow as tf

BFLOAT16_STEP = 2.0**-7


def check_layer(layer, inputs, expected_shape, folder):
    """Shapes, serialization, symbolic call, XLA, gradients and dtypes of a layer.

    Args:
        layer: an unbuilt layer, of any state but random.
        inputs: list of float32 tensors, batch size at least 2.
        expected_shape: shape of its output for them.
        folder: a temporary folder.
    """
    output = layer(*inputs)
    assert output.shape == expected_shape
    assert output.dtype == "float32"
    _check_model_file(layer, inputs, output, folder)
    _check_xla(layer, inputs, output)
    _check_gradients(layer, inputs)
    _check_mixed_precision(layer, inputs, output)


def _check_model_file(layer, inputs, output, folder):
    """A functional model of any batch size around the layer, saved and loaded."""
    symbols = [keras.Input(x.shape[1:]) for x in inputs]
    model = keras.Model(symbols, layer(*symbols))
    assert model.output_shape == (None, *output.shape[1:])
    model.save(folder / "model.keras")
    loaded = keras.saving.load_model(folder / "model.keras")
    np.testing.assert_allclose(loaded(inputs), output, atol=1e-6)
    # One image by itself: the batch size is free, and images do not mix. BLAS sums in
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
    # A dozen roundings to 8 bits on the way, relative to the output's scale.
    error = np.abs(np.asarray(result, np.float32) - output).max()
    assert error <= 12 * BFLOAT16_STEP * np.abs(output).max()


def derivatives(layer, inputs, training):
    """Outputs, their gradients, and those of these gradients' squares, as with R1.

    Weights of the squares see to it that nothing cancels out: a normalization's
    gradient sums up to 0.
    """
    variables = [*inputs, *layer.trainable_variables]
    with tf.GradientTape() as outer:
        outer.watch(inputs)
        with tf.GradientTape() as inner:
            inner.watch(inputs)
            y = layer(*inputs, training=training)
            loss = tf.reduce_sum(tf.sin(y))
        gradients = inner.gradient(loss, variables)
        squares = sum(
            tf.reduce_sum(tf.linspace(1.0, 2.0, gradient.shape[-1]) * gradient**2)
            for gradient in gradients
        )
    return [y, *gradients, *outer.gradient(squares, variables)]
