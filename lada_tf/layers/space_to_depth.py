"""SpaceToDepth: trade resolution for channels (Fig. 4b)."""

import keras
from keras import ops

from lada_tf.kernels import Tensor
from lada_tf.layers._common import positive_int


@keras.saving.register_keras_serializable("lada_tf")
class SpaceToDepth(keras.layers.Layer):
    """Trade resolution for channels: (B, H, W, C) → (B, H/f, W/f, C·f²).

    This is the inverse of `PixelShuffle`.

    Args:
        factor: int f, at least 2.

    Call arguments:
        inputs: tensor (B, H, W, C), with H and W divisible by f.

    Returns:
        A tensor (B, H/f, W/f, C·f²), in the order of `tf.nn.space_to_depth`.

    Raises:
        ValueError: if f does not divide H and W.

    Example:

    >>> SpaceToDepth(2)(keras.random.normal((2, 16, 16, 8))).shape
    (2, 8, 8, 32)
    """

    def __init__(self, factor: int = 2, **kwargs):
        super().__init__(**kwargs)
        self.factor = positive_int("factor", factor)
        self.input_spec = keras.InputSpec(ndim=4)

    def build(self, inputs_shape: tuple) -> None:
        for side in inputs_shape[1:3]:
            if side is not None and side % self.factor:
                raise ValueError(
                    f"SpaceToDepth needs sides divisible by factor={self.factor}, "
                    f"not {inputs_shape[1]}×{inputs_shape[2]}"
                )

    def call(self, inputs: Tensor) -> Tensor:
        return ops.space_to_depth(inputs, self.factor, data_format="channels_last")

    def compute_output_shape(self, inputs_shape: tuple) -> tuple:
        batch, height, width, channels = inputs_shape
        shrunk = [
            None if side is None else side // self.factor for side in (height, width)
        ]
        return (batch, *shrunk, channels * self.factor**2)

    def get_config(self) -> dict:
        return {**super().get_config(), "factor": self.factor}
