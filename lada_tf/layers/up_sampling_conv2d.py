"""UpSamplingConv2D: nearest ×2 and a 3×3 convolution, as one convolution."""

import keras
from keras import ops

from lada_tf.kernels import upsample_conv as doubling
from lada_tf.layers.fast_conv2d import FastConv2D


@keras.saving.register_keras_serializable("lada_tf")
class UpSamplingConv2D(FastConv2D):
    """A 3×3 convolution of a map that was first doubled by nearest neighbours.

    The nine pixels under the kernel are copies of 2×2 pixels of the small map. Summed
    up beforehand, the weights on the same one make four kernels 2×2, one for each
    parity of row and column: 4/9 of the multiply-adds, and the same numbers up to
    rounding. Training on a processor takes 1/4 of them (`layers.doubling`).

    Args:
        filters: int, C, channels of the output.
        **kwargs: of `keras.layers.Conv2D`, but for sizes, strides, padding, groups and
            format.

    Call arguments:
        inputs: float tensor (B, H, W, channels).

    Returns:
        A tensor (B, 2H, 2W, C) in the layer's compute dtype.

    Example:

    >>> UpSamplingConv2D(8)(keras.random.normal((2, 4, 4, 16))).shape
    (2, 8, 8, 8)
    """

    least_channels = 64

    def __init__(self, filters, **kwargs):
        super().__init__(filters, kernel_size=3, padding="same", **kwargs)

    def convolution_op(self, inputs, kernel):
        x = ops.pad(inputs, ((0, 0), (1, 1), (1, 1), (0, 0)))
        kernels = [
            columns for rows in _by_parity(kernel, 0) for columns in _by_parity(rows, 1)
        ]
        x = ops.conv(
            x,
            ops.concatenate(kernels, axis=-1),
            padding="valid",
            data_format="channels_last",
        )  # (B, H + 1, W + 1, 4C), where four pixels of the small map meet
        x = ops.depth_to_space(x, 2, data_format="channels_last")
        return x[:, 1:-1, 1:-1]  # what lies about such a corner, within the map

    def _fast_convolution(self, inputs_shape):
        _, height, width, channels = inputs_shape
        if None in (height, width) or not self._may_be_fast():
            return None
        many = min(channels, self.filters) >= self.least_channels
        return doubling.convolve if many else None

    def compute_output_shape(self, inputs_shape):
        batch, height, width, _ = inputs_shape
        return (batch, 2 * height, 2 * width, self.filters)

    def get_config(self):
        config = super().get_config()
        fixed = ("kernel_size", "padding")
        return {key: value for key, value in config.items() if key not in fixed}


def _by_parity(kernel, axis):
    """Three taps on a doubled line as two on the line: before and behind a corner."""
    first, middle, last = ops.split(kernel, 3, axis=axis)
    return (
        ops.concatenate([first + middle, last], axis=axis),
        ops.concatenate([first, middle + last], axis=axis),
    )
