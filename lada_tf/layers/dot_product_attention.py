"""DotProductAttention: the Transformer's own attention, for comparison."""

import keras
from keras import ops

from lada_tf.kernels.orthogonal import initializer_config
from lada_tf.layers._common import dense
from lada_tf.layers.heads import head_size, join_heads, split_heads


@keras.saving.register_keras_serializable("lada_tf")
class DotProductAttention(keras.layers.Layer):
    """Mixes N tokens by softmax(QKᵀ/√d)V, at a cost that grows with N².

    q, k, v and the output are linear maps D → D with bias, split into heads of size
    d = D / h. It equals `keras.layers.MultiHeadAttention` of the same weights; written
    as matrix products, it exports everywhere and its FLOPs are counted.

    Args:
        num_heads: int, h. Has to divide D, the width of the input.
        kernel_initializer: initializer of every kernel.

    Call arguments:
        inputs: float tensor (B, N, D), any N.
        return_attention_maps: bool. If True, returns the attention maps too.

    Returns:
        A tensor (B, N, D); with `return_attention_maps`, the pair of it and the maps,
        float32 (B, h, N): the attention that a token receives, as the mean over all
        queries. Each row sums to 1.

    Raises:
        ValueError: if `num_heads` does not divide D.

    Example:

    >>> DotProductAttention(num_heads=4)(keras.random.normal((2, 100, 64))).shape
    (2, 100, 64)

    Reference:
        Vaswani et al., "Attention is all you need", arXiv:1706.03762.
    """

    def __init__(self, num_heads, kernel_initializer="orthogonal", **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.kernel_initializer = initializer_config(kernel_initializer)

    def build(self, inputs_shape):
        width = inputs_shape[-1]
        self.head_size = head_size(width, self.num_heads)
        self.query = dense(self, width, "query")
        self.key = dense(self, width, "key")
        self.value = dense(self, width, "value")
        self.output_projection = dense(self, width, "output")
        for layer in (self.query, self.key, self.value, self.output_projection):
            layer.build(inputs_shape)

    def call(self, inputs, return_attention_maps=False):
        query, key, value = (  # (B, h, N, d)
            split_heads(layer(inputs), self.num_heads)
            for layer in (self.query, self.key, self.value)
        )
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        scores = ops.cast(scores, "float32") / self.head_size**0.5
        weights = ops.softmax(scores)  # (B, h, N queries, N keys)
        mixed = join_heads(ops.matmul(ops.cast(weights, value.dtype), value))
        output = self.output_projection(mixed)
        return (output, ops.mean(weights, 2)) if return_attention_maps else output

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "kernel_initializer": self.kernel_initializer,
        }
