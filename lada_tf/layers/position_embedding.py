"""PositionEmbedding: a learned vector per token (eq 10)."""

import keras
from keras import ops

from lada_tf.kernels import Tensor
from lada_tf.layers._common import initializer_config


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

    def build(self, inputs_shape: tuple) -> None:
        if inputs_shape[1] is None:
            raise ValueError(
                "PositionEmbedding needs inputs with a fixed number of tokens, "
                f"not {inputs_shape}"
            )
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=tuple(inputs_shape[1:]),
            initializer=self.embeddings_initializer,
        )

    def call(self, inputs: Tensor) -> Tensor:
        return inputs + ops.cast(self.embeddings, inputs.dtype)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "embeddings_initializer": self.embeddings_initializer,
        }
