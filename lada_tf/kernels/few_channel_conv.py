"""Convolutions between a map of few channels and one of many, in either direction.

TensorFlow's CPU library (oneDNN) is fast from few channels to many, and for the
gradient by the kernel. From many channels to few it takes several times as long as the
multiplications require. Here, that direction is one matmul from the many channels to
the few channels of all taps, then a sum of the taps' maps, each moved to its place.

Each direction is the transpose of the other. They are therefore each other's gradients,
and R1's second derivatives consist of them as well.
"""

import functools

import tensorflow as tf

from lada_tf.kernels.bilinear import differentiable_op
from lada_tf.kernels.xla_kernel import xla_kernel

MAX_FEW_CHANNELS = 4


def convolve(inputs, kernel, padding):
    """Convolution with stride 1, from or to at most `MAX_FEW_CHANNELS` channels.

    It can be differentiated any number of times. Use it only if `cpu_only_with_xla()`.

    Args:
        inputs: float32 (B, H, W, C) with known H, W and C.
        kernel: float32 (height, width, C, K).
        padding: `"same"` or `"valid"`.

    Returns:
        float32 (B, H, W, K), smaller with `"valid"`.
    """
    kernel = tf.convert_to_tensor(kernel)
    *size, channels, filters = kernel.shape
    paddings = [_padding(taps, padding) for taps in size]
    if channels <= filters:
        return _convolution(*size, *paddings).to_outputs(inputs, kernel)
    transposed = [
        (taps - 1 - before, taps - 1 - after)
        for taps, (before, after) in zip(size, paddings, strict=True)
    ]
    kernel = tf.transpose(kernel[::-1, ::-1], (0, 1, 3, 2))
    return _convolution(*size, *transposed).to_inputs(inputs, kernel)


def _padding(taps, padding):
    """Number of zeros before and after a line."""
    return ((taps - 1) // 2, taps // 2) if padding == "same" else (0, 0)


@functools.cache
def _convolution(height, width, rows, columns):
    """The operation from few channels to many, for one kernel size and padding."""
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
        # oneDNN does not support explicit padding here.
        return tf.raw_ops.Conv2DBackpropFilter(
            input=tf.pad(few, paddings),
            filter_sizes=(height, width, few.shape[-1], many.shape[-1]),
            out_backprop=many,
            strides=(1, 1, 1, 1),
            padding="VALID",
        )

    return differentiable_op(to_many, to_few, to_kernel)


@functools.cache
def _sum_of_taps(map_height, map_width, height, width, rows, columns):
    """Products (B·H·W, taps · few) → (B, …, few), for one map size."""
    # From few to many, the tap (i, j) reads the pixel i - rows[0] below and
    # j - columns[0] to the right. In this direction its products move there.
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

    return xla_kernel(apply, max_grad_order=0)
