"""LinformerAttention: dot-product attention to k projected tokens."""

import keras
from keras import ops

from lada_tf.kernels import Tensor
from lada_tf.layers._common import MultiHeadLayer, positive_int


@keras.saving.register_keras_serializable("lada_tf")
class LinformerAttention(MultiHeadLayer):
    """Mix N tokens with softmax(Q(EK)ᵀ/√d)FV, at a cost linear in N.

    E and F are learned (k, N) matrices, which project the keys and the values to k
    tokens. All heads share them. Q, K, V and the output are linear maps D → D with
    bias. Q, K and V are split into heads of size d = D / h.

    Args:
        num_heads: int, h. Must divide D, the width of the inputs.
        projected_tokens: int, k.
        kernel_initializer: initializer of every kernel, and of E and F.

    Call arguments:
        inputs: float tensor (B, N, D). N is fixed when the layer is built.
        return_attention_maps: bool. If True, also return the attention maps.
        mask: bool (B, N), or None. Keys and values are 0 where it is False.

    Returns:
        A tensor (B, N, D) in the layer's compute dtype. With `return_attention_maps`, a
        pair (tokens, maps). The maps are float32 (B, h, N): the weight of each token's
        value, averaged over all queries. Weights can be negative, because F can be.

    Raises:
        ValueError: if `num_heads` does not divide D, or N is unknown when the layer is
            built.

    Example:

    >>> LinformerAttention(num_heads=4)(keras.random.normal((2, 256, 64))).shape
    (2, 256, 64)

    Reference:
        Wang et al., "Linformer: self-attention with linear complexity",
        arXiv:2006.04768.
    """

    def __init__(
        self,
        num_heads: int,
        projected_tokens: int = 64,
        kernel_initializer: str | dict = "orthogonal",
        **kwargs,
    ):
        super().__init__(num_heads, kernel_initializer, **kwargs)
        self.projected_tokens = positive_int("projected_tokens", projected_tokens)

    def build(self, inputs_shape: tuple) -> None:
        self.build_heads(inputs_shape, fixed_count=True)
        self.query = self.token_map("query", inputs_shape)
        self.key = self.token_map("key", inputs_shape)
        self.value = self.token_map("value", inputs_shape)
        self.output_projection = self.token_map("output", inputs_shape)
        self.key_projection, self.value_projection = (
            self.add_weight(
                name=name,
                shape=(self.projected_tokens, inputs_shape[1]),
                initializer=self.kernel_initializer,
            )
            for name in ("key_projection", "value_projection")
        )

    def call(
        self,
        inputs: Tensor,
        return_attention_maps: bool = False,
        mask: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        query = self.split_heads(self.query(inputs))  # (B, h, N, d)
        key_projection = ops.cast(self.key_projection, query.dtype)  # (k, N)
        value_projection = ops.cast(self.value_projection, query.dtype)
        if mask is not None:
            mask = ops.expand_dims(ops.cast(mask, query.dtype), 1)  # (B, 1, N)
            key_projection = key_projection * mask  # (B, k, N)
            value_projection = value_projection * mask
        key = ops.matmul(key_projection, self.key(inputs))  # (B, k, D)
        value = ops.matmul(value_projection, self.value(inputs))  # (B, k, D)
        key, value = self.split_heads(key), self.split_heads(value)  # (B, h, k, d)
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        scores = ops.cast(scores, "float32") / self.head_size**0.5
        weights = ops.softmax(scores)  # (B, h, N, k)
        mixed = ops.matmul(ops.cast(weights, value.dtype), value)  # (B, h, N, d)
        output = self.output_projection(self.join_heads(mixed))  # (B, N, D)
        if return_attention_maps:
            projection = ops.cast(value_projection, "float32")
            return output, ops.matmul(ops.mean(weights, axis=2), projection)
        return output

    def get_config(self) -> dict:
        return {**super().get_config(), "projected_tokens": self.projected_tokens}
