"""3×3 convolutions of a map doubled by nearest neighbours, with a quarter of products.

On a line whose pixels x are doubled, taps (a, b, c) make of (…, xᵢ₋₁, xᵢ, xᵢ, xᵢ₊₁, …)

    a xᵢ₋₁ + (b + c) xᵢ  =  a dᵢ + (a + b + c) xᵢ
    (a + b) xᵢ + c xᵢ₊₁  =  (a + b + c) xᵢ - c dᵢ₊₁

with the differences dᵢ = xᵢ₋₁ - xᵢ: three products instead of six. Each difference
takes part in two, for the doubles on either side of it, and each pixel in one, for both
of its doubles. On a map this is done along both axes, with 9 products for 36: of
differences of differences four, of those along one axis two each, of pixels one.
"""

import functools

import keras

from lada_tf.kernels.bilinear import Parts, bilinear
from lada_tf.kernels.xla_kernel import fused

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


def convolve(inputs, kernel):
    """A 3×3 convolution, padded with zeros to the same size, of the doubled inputs.

    It can be differentiated any number of times. For `fused.on_processor()` alone.

    Args:
        inputs: float32 (B, H, W, C), with H, W and C known.
        kernel: float32 (3, 3, C, K).

    Returns:
        float32 (B, 2H, 2W, K).
    """
    _, height, width, _ = inputs.shape
    to_outputs = _convolution(height, width).to_outputs
    return to_outputs(inputs, tf.convert_to_tensor(kernel))


@functools.cache
def _convolution(height, width):
    """The algorithm, for maps of that size."""
    return bilinear(_inputs(height, width), _kernel(), _outputs(height, width))


def _inputs(height, width):
    """x (B, H, W, C) as rows of C: differences both ways, down, across, and pixels."""

    def differences(x):
        down = _differences(x, axis=1)
        both, across = _differences(down, axis=2), _differences(x, axis=2)
        return [_rows(both), _rows(down), _rows(across)]

    def apart(x):
        return [*differences(x), _rows(x)]

    def a_map(*factors):
        pixels = factors[-1]
        return tf.reshape(pixels, (-1, height, width, pixels.shape[-1]))

    kernel = fused(differences, derivatives=0)  # which need not copy the pixels
    return Parts(lambda x: [*kernel(x), _rows(x)], _transpose(apart, a_map))


def _differences(x, axis):
    """xᵢ₋₁ - xᵢ, one more than there are pixels: beyond the map is 0."""
    before, after = ([(0, 0)] * 4 for _ in range(2))
    before[axis], after[axis] = (1, 0), (0, 1)
    return tf.pad(x, before) - tf.pad(x, after)


def _rows(x):
    return tf.reshape(x, (-1, x.shape[-1]))


@functools.cache
def _kernel():
    """w (3, 3, C, K) as (C, 4K), (C, 2K), (C, 2K) and (C, K)."""

    def along_first(w):
        """(3, …) → (2, …) of differences, for the doubles on either side of them;
        (1, …) of pixels."""
        before, own, after = tf.unstack(w)
        return tf.stack([-after, before]), tf.expand_dims(before + own + after, 0)

    def apart(w):
        matrices = []
        for down in along_first(w):  # (2 or 1, 3, C, K)
            for both in along_first(tf.transpose(down, (1, 0, 2, 3))):
                channels = both.shape[2]
                both = tf.transpose(both, (2, 1, 0, 3))  # (C, down, across, K)
                matrices.append(tf.reshape(both, (channels, -1)))
        return matrices

    def a_kernel(*matrices):
        return tf.zeros((3, 3, *matrices[-1].shape))

    return Parts(fused(apart, derivatives=0), _transpose(apart, a_kernel))


def _outputs(height, width):
    """y (B, 2H, 2W, K) of products, each a row for what it is a product of."""
    down, across = height + 1, width + 1  # differences

    def together(both, of_down, of_across, of_pixels):
        filters = of_pixels.shape[-1]
        # Doubles beside differences make maps of one row or column more on either side.
        both = _doubled_rows(tf.reshape(both, (-1, down, across, 2, 2 * filters)))
        both = tf.reshape(both, (-1, 2 * down, 2 * across, filters))[:, 1:-1, 1:-1]
        of_down = _doubled_rows(tf.reshape(of_down, (-1, down, width, 2, filters)))
        of_across = tf.reshape(of_across, (-1, height, 2 * across, filters))
        of_pixels = tf.reshape(of_pixels, (-1, height, width, filters))
        rows = of_across[:, :, 1:-1] + tf.repeat(of_pixels, 2, axis=2)
        columns = both + tf.repeat(of_down[:, 1:-1], 2, axis=2)
        return columns + tf.repeat(rows, 2, axis=1)

    def products(y):
        filters = y.shape[-1]
        grids = ((down, across), (down, width), (height, across), (height, width))
        return [
            tf.zeros((tf.shape(y)[0] * rows * columns, taps * filters))
            for (rows, columns), taps in zip(grids, (4, 2, 2, 1), strict=True)
        ]

    kernel = fused(together, derivatives=0)
    transposed = _transpose(lambda products: together(*products), products)
    return Parts(lambda y: transposed([y]), lambda factors: kernel(*factors))


def _doubled_rows(x):
    """(B, H, W, 2, D), two doubles of each row, → (B, 2H, W, D)."""
    _, height, width, _, depth = x.shape
    return tf.reshape(tf.transpose(x, (0, 1, 3, 2, 4)), (-1, 2 * height, width, depth))


def _transpose(function, an_input):
    """The transpose of a linear map, as a kernel; it takes the list of what that makes.

    It is the map's gradient, at any input: `an_input`, of the list, has the shape.
    """

    def gradient(*results):
        with tf.GradientTape() as tape:
            at = an_input(*results)
            tape.watch(at)
            found = tf.nest.flatten(function(at))
        return tape.gradient(found, at, list(results))

    kernel = fused(gradient, derivatives=0)
    return lambda results: kernel(*results)
