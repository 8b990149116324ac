"""Conv3x3: Keras' 3×3 convolution, of fewer products in training."""

import keras

from lada_tf.layers import winograd
from lada_tf.layers.fused import on_processor

# With fewer, reading and writing takes longer than the products that are saved.
LEAST_CHANNELS = 128


@keras.saving.register_keras_serializable("lada_tf")
class Conv3x3(keras.layers.Conv2D):
    """`keras.layers.Conv2D` of 3×3, stride 1, to maps of the same size.

    In training on a processor, in float32, it takes Winograd's algorithm (`winograd.py`)
    where that is faster: the same numbers up to rounding.

    Args:
        filters: int, channels of the output.
        **kwargs: of `keras.layers.Conv2D`, but for sizes, strides, padding, groups and
            format.

    Call arguments:
        inputs: float tensor (B, H, W, channels).
        training: bool.

    Returns:
        A tensor (B, H, W, `filters`) in the layer's compute dtype.
    """

    algorithm = winograd.F23
    least_channels = LEAST_CHANNELS

    def __init__(self, filters, **kwargs):
        super().__init__(
            filters, 3, padding="same", data_format="channels_last", **kwargs
        )

    def call(self, inputs, training=None):
        if not (training and self._saves(inputs)):
            return super().call(inputs)
        outputs = winograd.convolve(inputs, self.kernel, self.algorithm)
        if self.use_bias:
            outputs = outputs + self.bias
        return self.activation(outputs)

    def _saves(self, inputs):
        _, height, width, channels = inputs.shape
        tile = self.algorithm.inputs_per_tile
        return (
            min(channels, self.filters) >= self.least_channels
            and None not in (height, width)
            and height % tile == width % tile == 0
            and self.compute_dtype == "float32"
            and on_processor()
        )

    def get_config(self):
        config = super().get_config()
        fixed = ("kernel_size", "strides", "padding", "data_format", "dilation_rate")
        return {key: value for key, value in config.items() if key not in fixed}
