"""FastConv2D: Keras' convolution, of fewer or faster products in training."""

import contextlib
import functools
from collections.abc import Iterator

import keras

from lada_tf.kernels import few_channel_conv as narrow
from lada_tf.kernels import winograd
from lada_tf.kernels.xla_kernel import on_processor


@keras.saving.register_keras_serializable("lada_tf")
class FastConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` of stride 1.

    In training, in float32, on a processor, it takes another algorithm where that is
    faster, for the same numbers up to rounding: `layers.winograd` for 3×3 kernels
    between many channels, `layers.narrow` from or to few.

    Args:
        filters: int, channels of the output.
        kernel_size: int, or two.
        padding: `"same"` or `"valid"`.
        **kwargs: of `keras.layers.Conv2D`, but for strides, dilation, groups and
            format.

    Call arguments:
        inputs: float tensor (B, H, W, channels).
        training: bool.

    Returns:
        A tensor (B, H, W, `filters`) in the layer's compute dtype, smaller with
        `padding="valid"`.

    Example:

    >>> FastConv2D(8)(keras.random.normal((2, 4, 4, 16))).shape
    (2, 4, 4, 8)
    """

    # With fewer, in or out, Winograd's takes longer to read and write than it saves.
    least_channels = 96

    def __init__(self, filters, kernel_size=3, padding="same", **kwargs):
        super().__init__(
            filters,
            kernel_size,
            padding=padding,
            data_format="channels_last",
            **kwargs,
        )

    def call(self, inputs, training=None):
        fast_convolution = training and self._fast_convolution(inputs.shape)
        if not fast_convolution:
            return super().call(inputs)
        outputs = fast_convolution(inputs, self.kernel)
        if self.use_bias:
            outputs = outputs + self.bias
        return self.activation(outputs)

    def _fast_convolution(self, inputs_shape):
        """(inputs, kernel) → outputs, or None if the definition is as fast."""
        _, height, width, channels = inputs_shape
        fewer = min(channels, self.filters)
        if None in (height, width) or not self._may_be_fast():
            return None
        if fewer <= narrow.FEW:
            return functools.partial(narrow.convolve, padding=self.padding)
        fits = height % 2 == width % 2 == 0 and self.padding == "same"
        if fits and self.kernel_size == (3, 3) and fewer >= self.least_channels:
            return winograd.convolve
        return None

    def _may_be_fast(self):
        return _allowed[-1] and self.compute_dtype == "float32" and on_processor()

    def get_config(self):
        config = super().get_config()
        fixed = ("strides", "data_format", "dilation_rate", "groups")
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
