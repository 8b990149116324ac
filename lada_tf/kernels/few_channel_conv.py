"""Convolutions between a map of few channels and one of many, either way.

On processors TensorFlow's library (oneDNN) makes those from few channels to many about
as fast as the products they are of, and as fast what is a product of the two maps, the
gradient by the kernel. From many to few it takes several times as long. That way is one
matrix product here, from the many channels to the few of all taps, and a sum of the
taps' maps, each moved to where it belongs.

The way from many to few is the transpose of one from few to many. So these are one
another's gradients, and R1's second derivatives are again made of them.
"""

import functools

import keras

from lada_tf.kernels.bilinear import trilinear
from lada_tf.kernels.xla_kernel import fused

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

FEW = 4  # channels at most


def convolve(inputs, kernel, padding):
    """A convolution of stride 1, from at most `FEW` channels, or to them.

    It can be differentiated any number of times. For `fused.on_processor()` alone.

    Args:
        inputs: float32 (B, H, W, C), with H, W and C known.
        kernel: float32 (height, width, C, K).
        padding: `"same"` or `"valid"`.

    Returns:
        float32 (B, H, W, K), or what is left of H and W with `"valid"`.
    """
    kernel = tf.convert_to_tensor(kernel)
    *size, channels, filters = kernel.shape
    around = [_padding(taps, padding) for taps in size]
    if channels <= filters:
        return _convolution(*size, *around).to_outputs(inputs, kernel)
    transposed = [
        (taps - 1 - before, taps - 1 - after)
        for taps, (before, after) in zip(size, around, strict=True)
    ]
    kernel = tf.transpose(kernel[::-1, ::-1], (0, 1, 3, 2))
    return _convolution(*size, *transposed).to_inputs(inputs, kernel)


def _padding(taps, padding):
    """Zeros before and behind a line."""
    return ((taps - 1) // 2, taps // 2) if padding == "same" else (0, 0)


@functools.cache
def _convolution(height, width, rows, columns):
    """From few to many by a kernel of that size, of maps with zeros around them."""
    paddings = ((0, 0), rows, columns, (0, 0))

    def to_many(few, kernel):
        return tf.nn.conv2d(few, kernel, strides=1, padding=paddings)

    def to_few(many, kernel):
        products = tf.matmul(
            tf.reshape(many, (-1, many.shape[-1])),
            tf.reshape(kernel, (-1, many.shape[-1])),
            transpose_b=True,
        )  # (B·H·W, taps · few)
        return _sum_of_taps(*many.shape[1:3], height, width, rows, columns)(products)

    def to_kernel(few, many):
        # oneDNN has this for no explicit padding.
        return tf.raw_ops.Conv2DBackpropFilter(
            input=tf.pad(few, paddings),
            filter_sizes=(height, width, few.shape[-1], many.shape[-1]),
            out_backprop=many,
            strides=(1, 1, 1, 1),
            padding="VALID",
        )

    return trilinear(to_many, to_few, to_kernel)


@functools.cache
def _sum_of_taps(map_height, map_width, height, width, rows, columns):
    """Products (B·H·W, taps · few) of maps of that size → (B, …, few)."""
    # From few to many a tap (i, j) takes what lies i - rows[0] below and
    # j - columns[0] to the right; on the way back its products go there.
    above, below = (height - 1 - zeros for zeros in rows)
    left, right = (width - 1 - zeros for zeros in columns)
    lines = map_height + above + below - height + 1
    length = map_width + left + right - width + 1

    def apply(products):
        x = tf.reshape(products, (-1, map_height, map_width, products.shape[-1]))
        x = tf.pad(x, ((0, 0), (above, below), (left, right), (0, 0)))
        moved = []
        for number, tap in enumerate(tf.split(x, height * width, axis=-1)):
            i, j = divmod(number, width)
            row, column = height - 1 - i, width - 1 - j
            moved.append(tap[:, row : row + lines, column : column + length])
        return tf.add_n(moved)

    return fused(apply, derivatives=0)
