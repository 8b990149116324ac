"""SpaceToDepth: the inverse of PixelShuffle (Fig. 4b)."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("lada_tf")
class SpaceToDepth(keras.layers.Layer):
    """Trades resolution for channels: (B, H, W, C) → (B, H/f, W/f, C·f²).

    Args:
        factor: int f, at least 2.

    Call arguments:
        inputs: tensor (B, H, W, C), H and W divisible by f.

    Returns:
        A tensor (B, H/f, W/f, C·f²), ordered as `tf.nn.space_to_depth`.

    Raises:
        ValueError: if f does not divide H or W.

    Example:

    >>> SpaceToDepth(2)(keras.random.normal((2, 16, 16, 8))).shape
    (2, 8, 8, 32)
    """

    def __init__(self, factor=2, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, inputs_shape):
        for side in inputs_shape[1:3]:
            if side is not None and side % self.factor:
                raise ValueError(
                    f"SpaceToDepth by {self.factor} needs sides that it divides, "
                    f"not {inputs_shape[1]}×{inputs_shape[2]}"
                )

    def call(self, inputs):
        return ops.space_to_depth(inputs, self.factor, data_format="channels_last")

    def compute_output_shape(self, inputs_shape):
        batch, height, width, channels = inputs_shape
        shrunk = [
            None if side is None else side // self.factor for side in (height, width)
        ]
        return (batch, *shrunk, channels * self.factor**2)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}
