"""3×3 convolutions of ×2 upsampled maps with a quarter of the multiplications.

Upsampling a line doubles its pixels: (…, xᵢ₋₁, xᵢ, xᵢ, xᵢ₊₁, …). A convolution with the
taps (a, b, c) computes these outputs for the two copies of xᵢ:

    a xᵢ₋₁ + (b + c) xᵢ  =  a dᵢ + (a + b + c) xᵢ
    (a + b) xᵢ + c xᵢ₊₁  =  (a + b + c) xᵢ - c dᵢ₊₁

Here, dᵢ = xᵢ₋₁ - xᵢ. This needs three multiplications per pixel instead of six: a dᵢ,
c dᵢ and (a + b + c) xᵢ. In 2-D, it needs 9 matmuls instead of 36: 4 for the differences
along both axes, 2 + 2 for the differences along one axis, and 1 for the pixels.
"""

import functools

import tensorflow as tf

from lada_tf.kernels.bilinear import SplitJoin, bilinear_op
from lada_tf.kernels.xla_kernel import xla_kernel

# With fewer input or output channels, the algorithm takes more time than it saves.
MIN_CHANNELS = 64


def convolve(inputs, kernel):
    """Convolve ×2 upsampled inputs with a 3×3 kernel, with zero padding.

    Derivatives of any order work. Call it only if `cpu_only_with_xla()` is True.

    Args:
        inputs: float32 (B, H, W, C) with known H, W and C.
        kernel: float32 (3, 3, C, K).

    Returns:
        float32 (B, 2H, 2W, K).
    """
    _, height, width, _ = inputs.shape
    return _convolution(height, width)(inputs, tf.convert_to_tensor(kernel))


@functools.cache
def _convolution(height, width):
    """Return the algorithm for maps of one size."""
    return bilinear_op(_inputs(height, width), _kernel(), _outputs(height, width))


def _inputs(height, width):
    """Map x (B, H, W, C) to four matrices with C columns.

    Their rows are differences along both axes, vertical differences, horizontal
    differences, and pixels.
    """

    def differences(x):
        down = _differences(x, axis=1)
        both, across = _differences(down, axis=2), _differences(x, axis=2)
        return [_rows(both), _rows(down), _rows(across)]

    def split(x):
        return [*differences(x), _rows(x)]

    def map_like(*factors):
        pixels = factors[-1]
        return tf.reshape(pixels, (-1, height, width, pixels.shape[-1]))

    # Keep the pixels out of the XLA kernel, which would copy them.
    kernel = xla_kernel(differences, max_grad_order=0)
    return SplitJoin(lambda x: [*kernel(x), _rows(x)], _transpose(split, map_like))


def _differences(x, axis):
    """Return xᵢ₋₁ - xᵢ: one more than pixels, because x is 0 outside the map."""
    before, after = ([(0, 0)] * 4 for _ in range(2))
    before[axis], after[axis] = (1, 0), (0, 1)
    return tf.pad(x, before) - tf.pad(x, after)


def _rows(x):
    return tf.reshape(x, (-1, x.shape[-1]))


@functools.cache
def _kernel():
    """Map w (3, 3, C, K) to matrices (C, 4K), (C, 2K), (C, 2K) and (C, K)."""

    def along_first(w):
        """Map (3, …) to taps of differences (2, …) and taps of pixels (1, …).

        A difference contributes to the output pixels before and after it.
        """
        before, own, after = tf.unstack(w)
        return tf.stack([-after, before]), tf.expand_dims(before + own + after, 0)

    def split(w):
        matrices = []
        for down in along_first(w):  # (2 or 1, 3, C, K)
            for both in along_first(tf.transpose(down, (1, 0, 2, 3))):
                channels = both.shape[2]
                both = tf.transpose(both, (2, 1, 0, 3))  # (C, down, across, K)
                matrices.append(tf.reshape(both, (channels, -1)))
        return matrices

    def kernel_like(*matrices):
        return tf.zeros((3, 3, *matrices[-1].shape))

    return SplitJoin(
        xla_kernel(split, max_grad_order=0), _transpose(split, kernel_like)
    )


def _outputs(height, width):
    """Map the four products, with a row per difference or pixel, to (B, 2H, 2W, K)."""
    down, across = height + 1, width + 1  # numbers of differences

    def join(both, of_down, of_across, of_pixels):
        filters = of_pixels.shape[-1]
        # Each difference has an output pixel before and after it. The first and the
        # last one are outside the map.
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

    kernel = xla_kernel(join, max_grad_order=0)
    transposed = _transpose(lambda products: join(*products), products)
    return SplitJoin(lambda y: transposed([y]), lambda factors: kernel(*factors))


def _doubled_rows(x):
    """Reshape (B, H, W, 2, D), with two copies of each row, to (B, 2H, W, D)."""
    _, height, width, _, depth = x.shape
    return tf.reshape(tf.transpose(x, (0, 1, 3, 2, 4)), (-1, 2 * height, width, depth))


def _transpose(function, input_like):
    """Return the transpose of a linear map as an XLA kernel.

    The transpose is the map's gradient, which is the same at any input.

    Args:
        function: the linear map.
        input_like: callable, inputs of the transpose → any tensors with the shapes of
            the map's inputs.
    """

    def gradient(*results):
        with tf.GradientTape() as tape:
            at = input_like(*results)
            tape.watch(at)
            outputs = tf.nest.flatten(function(at))
        return tape.gradient(outputs, at, list(results))

    kernel = xla_kernel(gradient, max_grad_order=0)
    return lambda results: kernel(*results)
