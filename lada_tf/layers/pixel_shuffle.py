"""PixelShuffle: trade channels for resolution."""

import keras
from keras import ops

from lada_tf.kernels import Tensor
from lada_tf.layers._common import positive_int


@keras.saving.register_keras_serializable("lada_tf")
class PixelShuffle(keras.layers.Layer):
    """Trade channels for resolution: (B, H, W, C·f²) → (B, H·f, W·f, C).

    Args:
        factor: int f, at least 1.

    Call arguments:
        inputs: tensor (B, H, W, C·f²).

    Returns:
        A tensor (B, H·f, W·f, C), in the order of `tf.nn.depth_to_space`.

    Raises:
        ValueError: if f² does not divide the number of channels.

    Example:

    >>> PixelShuffle(2)(keras.random.normal((2, 8, 8, 32))).shape
    (2, 16, 16, 8)

    Reference:
        Shi et al., "Real-time single image and video super-resolution using an
        efficient sub-pixel convolutional neural network", arXiv:1609.05158.
    """

    def __init__(self, factor: int = 2, **kwargs):
        super().__init__(**kwargs)
        self.factor = positive_int("factor", factor)
        self.input_spec = keras.InputSpec(ndim=4)

    def build(self, inputs_shape: tuple) -> None:
        if (inputs_shape[-1] or 1) % self.factor**2:
            raise ValueError(
                f"PixelShuffle with factor={self.factor} needs a number of channels "
                f"divisible by {self.factor**2}, not {inputs_shape[-1]}"
            )

    def call(self, inputs: Tensor) -> Tensor:
        if self.factor == 1:
            return inputs
        return ops.depth_to_space(inputs, self.factor, data_format="channels_last")

    def compute_output_shape(self, inputs_shape: tuple) -> tuple:
        batch, height, width, channels = inputs_shape
        grown = [
            None if side is None else side * self.factor for side in (height, width)
        ]
        return (batch, *grown, channels // self.factor**2)

    def get_config(self) -> dict:
        return {**super().get_config(), "factor": self.factor}
