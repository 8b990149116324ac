"""Conv3x3: Keras' 3×3 convolution, of fewer products in training."""

import contextlib
from collections.abc import Iterator

import keras

from lada_tf.layers import winograd
from lada_tf.layers.fused import on_processor


@keras.saving.register_keras_serializable("lada_tf")
class Conv3x3(keras.layers.Conv2D):
    """`keras.layers.Conv2D` of 3×3, stride 1, to maps of the same size.

    In training, in float32, on a processor, it takes Winograd's algorithm where that is
    faster: the same numbers up to rounding.

    Args:
        filters: int, channels of the output.
        **kwargs: of `keras.layers.Conv2D`, but for sizes, strides, padding, groups and
            format.

    Call arguments:
        inputs: float tensor (B, H, W, channels).
        training: bool.

    Returns:
        A tensor (B, H, W, `filters`) in the layer's compute dtype.

    Example:

    >>> Conv3x3(8)(keras.random.normal((2, 4, 4, 16))).shape
    (2, 4, 4, 8)
    """

    fast_convolution = staticmethod(winograd.convolve)
    multiple_of = 2  # what it takes of height and width
    # With fewer, in or out, more time goes into reading and writing than is saved.
    least_channels = 96

    def __init__(self, filters, **kwargs):
        super().__init__(
            filters, 3, padding="same", data_format="channels_last", **kwargs
        )

    def call(self, inputs, training=None):
        if not (training and self._is_faster(inputs)):
            return super().call(inputs)
        outputs = self.fast_convolution(inputs, self.kernel)
        if self.use_bias:
            outputs = outputs + self.bias
        return self.activation(outputs)

    def _is_faster(self, inputs):
        _, height, width, channels = inputs.shape
        return (
            _allowed[-1]
            and min(channels, self.filters) >= self.least_channels
            and None not in (height, width)
            and height % self.multiple_of == width % self.multiple_of == 0
            and self.compute_dtype == "float32"
            and on_processor()
        )

    def get_config(self):
        config = super().get_config()
        fixed = ("kernel_size", "strides", "padding", "data_format", "dilation_rate")
        return {key: value for key, value in config.items() if key not in fixed}


_allowed = [True]


@contextlib.contextmanager
def direct_convolutions() -> Iterator[None]:
    """Within it, convolutions are computed as they are defined, in training too."""
    _allowed.append(False)
    try:
        yield
    finally:
        _allowed.pop()
