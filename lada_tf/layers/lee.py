"""LEE: locally enhanced expansion, which doubles the generator's grid (eq 8)."""

import keras

from lada_tf.kernels import Tensor
from lada_tf.layers._common import initializer_config
from lada_tf.layers.fast_conv2d import FastConv2D
from lada_tf.layers.pixel_shuffle import PixelShuffle


@keras.saving.register_keras_serializable("lada_tf")
class LEE(keras.layers.Layer):
    """Double a feature map by a pixel shuffle and a 3×3 convolution (eq 8).

    Args:
        filters: int, channels of the output.
        kernel_initializer: initializer of the convolution.

    Call arguments:
        inputs: float tensor (B, H, W, C), with C divisible by 4.

    Returns:
        A tensor (B, 2H, 2W, `filters`).

    Raises:
        ValueError: if C is not divisible by 4.

    Example:

    >>> LEE(filters=32)(keras.random.normal((2, 8, 8, 64))).shape
    (2, 16, 16, 32)

    Reference:
        Morales-Juarez and Fuentes-Pineda, arXiv:2401.09596, eq 8.
    """

    def __init__(
        self, filters: int, kernel_initializer: str | dict = "orthogonal", **kwargs
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.input_spec = keras.InputSpec(ndim=4)
        self.kernel_initializer = initializer_config(kernel_initializer)
        self.shuffle = PixelShuffle(2, dtype=self.dtype_policy, name="shuffle")
        self.convolution = FastConv2D(
            filters,
            kernel_initializer=self.kernel_initializer,
            dtype=self.dtype_policy,
            name="convolution",
        )

    def build(self, inputs_shape: tuple) -> None:
        self.shuffle.build(inputs_shape)
        self.convolution.build(self.shuffle.compute_output_shape(inputs_shape))

    def call(self, inputs: Tensor) -> Tensor:
        x = self.shuffle(inputs)  # (B, 2H, 2W, C/4)
        return self.convolution(x)  # (8) (B, 2H, 2W, filters)

    def compute_output_shape(self, inputs_shape: tuple) -> tuple:
        return self.convolution.compute_output_shape(
            self.shuffle.compute_output_shape(inputs_shape)
        )

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_initializer": self.kernel_initializer,
        }
