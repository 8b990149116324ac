"""Helpers of several layers: dense maps, initializers, the base of attention layers."""

import keras
from keras import ops

from lada_tf import kernels


def dense(
    owner: keras.layers.Layer, units: int, name: str, activation: str | None = None
) -> "TokenDense":
    """Return a Dense sublayer with its owner's kernel initializer and dtype policy."""
    return TokenDense(
        units,
        activation=activation,
        kernel_initializer=owner.kernel_initializer,
        dtype=owner.dtype_policy,
        name=name,
    )


class TokenDense(keras.layers.Dense):
    """`keras.layers.Dense` that multiplies all tokens of the batch in one matmul.

    For inputs of rank 3, Keras computes shapes in the graph. LiteRT 2.3 cannot convert
    that, or returns wrong numbers from the second call on.
    """

    def call(
        self, inputs: kernels.Tensor, training: bool | None = None
    ) -> kernels.Tensor:
        if len(inputs.shape) == 2:
            return super().call(inputs)
        rows = super().call(ops.reshape(inputs, (-1, inputs.shape[-1])))
        return ops.reshape(rows, (-1, *ops.shape(inputs)[1:-1], self.units))


def initializer_config(identifier: str | dict | keras.initializers.Initializer) -> dict:
    """Return the config of an initializer (name, config or object).

    A Keras initializer object returns the same values each time it is called. Its
    config instead gives each weight its own initializer, and so its own values.
    """
    # Create it once: each initializer takes a seed from Keras' global seed generator.
    try:
        initializer = (
            kernels.Orthogonal()
            if identifier == "orthogonal"
            else keras.initializers.get(identifier)
        )
    except ValueError as error:
        raise ValueError(f"initializer={identifier!r}: {error}") from error
    if type(initializer) is keras.initializers.Orthogonal:
        initializer = kernels.Orthogonal.from_config(initializer.get_config())
    return keras.initializers.serialize(initializer)


class MultiHeadLayer(keras.layers.Layer):
    """Base class of the attention layers: h heads of size d = D / h.

    Args:
        num_heads: int, h. Must divide D, the width of the inputs.
        kernel_initializer: initializer of every kernel.
    """

    def __init__(
        self, num_heads: int, kernel_initializer: str | dict = "orthogonal", **kwargs
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.kernel_initializer = initializer_config(kernel_initializer)

    def build_heads(self, inputs_shape: tuple) -> None:
        """Set `head_size`, d. Raise ValueError if `num_heads` does not divide D."""
        width = inputs_shape[-1]
        if width % self.num_heads:
            raise ValueError(
                f"num_heads={self.num_heads} does not divide the width {width}"
            )
        self.head_size = width // self.num_heads

    def token_map(
        self, name: str, inputs_shape: tuple, units: int | None = None
    ) -> "TokenDense":
        """Return a built dense map of tokens, D → `units` (D if None), with bias."""
        layer = dense(self, units or inputs_shape[-1], name)
        layer.build(inputs_shape)
        return layer

    def split_heads(self, tokens: kernels.Tensor) -> kernels.Tensor:
        """(B, N, D) → (B, h, N, d)."""
        count = ops.shape(tokens)[1]
        heads = ops.reshape(tokens, (-1, count, self.num_heads, self.head_size))
        return ops.transpose(heads, (0, 2, 1, 3))

    def join_heads(self, heads: kernels.Tensor) -> kernels.Tensor:
        """(B, h, N, d) → (B, N, D)."""
        count = ops.shape(heads)[2]
        tokens = ops.transpose(heads, (0, 2, 1, 3))
        return ops.reshape(tokens, (-1, count, self.num_heads * self.head_size))

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "kernel_initializer": self.kernel_initializer,
        }
