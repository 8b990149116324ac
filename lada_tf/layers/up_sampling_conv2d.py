"""UpSamplingConv2D: ×2 upsampling and a 3×3 convolution, as one convolution."""

import keras

from lada_tf import kernels

FIXED_ARGUMENTS = {
    "kernel_size": 3,
    "strides": 1,
    "padding": "same",
    "data_format": "channels_last",
    "dilation_rate": 1,
    "groups": 1,
}


@keras.saving.register_keras_serializable("lada_tf")
class UpSamplingConv2D(keras.layers.Conv2D):
    """Nearest-neighbor ×2 upsampling and a 3×3 convolution, as one convolution.

    It computes the same numbers as the two layers, up to rounding. It needs 4/9 of the
    multiply-adds (see `lada_tf.kernels.reference.upsample_conv2d`).

    Args:
        filters: int, channels of the output.
        **kwargs: other arguments of `keras.layers.Conv2D`. `kernel_size`, `strides`,
            `padding`, `data_format`, `dilation_rate` and `groups` are fixed.

    Call arguments:
        inputs: float tensor (B, H, W, channels).

    Returns:
        A tensor (B, 2H, 2W, `filters`) in the layer's compute dtype.

    Example:

    >>> UpSamplingConv2D(8)(keras.random.normal((2, 4, 4, 16))).shape
    (2, 8, 8, 8)
    """

    def __init__(self, filters: int, **kwargs):
        super().__init__(filters, **FIXED_ARGUMENTS, **kwargs)

    def convolution_op(
        self, inputs: kernels.Tensor, kernel: kernels.Tensor
    ) -> kernels.Tensor:
        return kernels.upsample_conv2d(inputs, kernel)

    def compute_output_shape(self, inputs_shape: tuple) -> tuple:
        batch, height, width, _ = inputs_shape
        sides = [None if side is None else 2 * side for side in (height, width)]
        return (batch, *sides, self.filters)

    def get_config(self) -> dict:
        config = super().get_config()
        return {k: v for k, v in config.items() if k not in FIXED_ARGUMENTS}
