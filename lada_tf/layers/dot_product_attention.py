"""DotProductAttention: the Transformer's standard attention, for comparison."""

import keras
from keras import ops

from lada_tf.kernels import Tensor
from lada_tf.layers._common import MultiHeadLayer


@keras.saving.register_keras_serializable("lada_tf")
class DotProductAttention(MultiHeadLayer):
    """Mix N tokens with softmax(QKᵀ/√d)V, at a cost that grows with N².

    Q, K, V and the output are linear maps D → D with bias. Q, K and V are split into
    heads of size d = D / h. With the same weights, the layer equals
    `keras.layers.MultiHeadAttention`. It consists of plain matmuls, so that every
    export format supports it and TensorFlow can count its FLOPs.

    Args:
        num_heads: int, h. Must divide D, the width of the inputs.
        kernel_initializer: initializer of every kernel.

    Call arguments:
        inputs: float tensor (B, N, D), any N.
        return_attention_maps: bool. If True, also return the attention maps.
        mask: bool (B, N), or None. Tokens receive no attention where it is False.

    Returns:
        A tensor (B, N, D) in the layer's compute dtype. With `return_attention_maps`, a
        pair (tokens, maps). The maps are float32 (B, h, N): the attention that each
        token receives, averaged over all queries. Each row sums to 1.

    Raises:
        ValueError: if `num_heads` does not divide D.

    Example:

    >>> DotProductAttention(num_heads=4)(keras.random.normal((2, 100, 64))).shape
    (2, 100, 64)

    Reference:
        Vaswani et al., "Attention is all you need", arXiv:1706.03762.
    """

    def build(self, inputs_shape: tuple) -> None:
        self.build_heads(inputs_shape)
        self.query = self.token_map("query", inputs_shape)
        self.key = self.token_map("key", inputs_shape)
        self.value = self.token_map("value", inputs_shape)
        self.output_projection = self.token_map("output", inputs_shape)

    def call(
        self,
        inputs: Tensor,
        return_attention_maps: bool = False,
        mask: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        query = self.split_heads(self.query(inputs))  # (B, h, N, d)
        key = self.split_heads(self.key(inputs))
        value = self.split_heads(self.value(inputs))
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        scores = ops.cast(scores, "float32") / self.head_size**0.5
        weights = self.softmax(scores, mask)  # (B, h, N queries, N keys)
        mixed = ops.matmul(ops.cast(weights, value.dtype), value)  # (B, h, N, d)
        output = self.output_projection(self.join_heads(mixed))  # (B, N, D)
        return (output, ops.mean(weights, axis=2)) if return_attention_maps else output
