"""PositionEmbedding: add a learned vector per token (eq 10)."""

import keras
from keras import ops

from lada_tf.kernels import Tensor
from lada_tf.layers._common import initializer_config, token_sizes


@keras.saving.register_keras_serializable("lada_tf")
class PositionEmbedding(keras.layers.Layer):
    """Add a learned vector to each token (eq 10).

    Args:
        embeddings_initializer: initializer of the (N, D) table.

    Call arguments:
        inputs: float tensor (B, N, D). N is fixed when the layer is built.

    Returns:
        A tensor (B, N, D).

    Raises:
        ValueError: if N is unknown when the layer is built.

    Example:

    >>> PositionEmbedding()(keras.random.normal((2, 64, 32))).shape
    (2, 64, 32)
    """

    def __init__(self, embeddings_initializer: str | dict = "orthogonal", **kwargs):
        super().__init__(**kwargs)
        self.embeddings_initializer = initializer_config(embeddings_initializer)
        self.supports_masking = True

    def build(self, inputs_shape: tuple) -> None:
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=token_sizes(self, inputs_shape, fixed_count=True),
            initializer=self.embeddings_initializer,
        )

    def call(self, inputs: Tensor) -> Tensor:
        return inputs + ops.cast(self.embeddings, inputs.dtype)

    def compute_output_shape(self, inputs_shape: tuple) -> tuple:
        return tuple(inputs_shape)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "embeddings_initializer": self.embeddings_initializer,
        }
