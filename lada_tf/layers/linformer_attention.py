"""LinformerAttention: dot products with k projected tokens instead of all N."""

import keras
from keras import ops

from lada_tf.kernels.orthogonal import initializer_config
from lada_tf.layers._common import dense
from lada_tf.layers.heads import head_size, join_heads, split_heads


@keras.saving.register_keras_serializable("lada_tf")
class LinformerAttention(keras.layers.Layer):
    """Mixes N tokens by softmax(Q(EK)ᵀ/√d)FV, at a cost linear in N (its eq 7).

    E and F are learned (k, N) matrices, shared by the heads: they make k tokens of the
    keys and of the values. q, k, v and the output are linear maps D → D with bias,
    split into heads of size d = D / h.

    Args:
        num_heads: int, h. Has to divide D, the width of the input.
        projected_tokens: int, k.
        kernel_initializer: initializer of every kernel, E and F included.

    Call arguments:
        inputs: float tensor (B, N, D). N is fixed when the layer is built.
        return_attention_maps: bool. If True, returns the attention maps too.

    Returns:
        A tensor (B, N, D); with `return_attention_maps`, the pair of it and the maps,
        float32 (B, h, N): the weight of each token's value, as the mean over all
        queries. F has either sign, and so have they.

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
        num_heads,
        projected_tokens=64,
        kernel_initializer="orthogonal",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.projected_tokens = projected_tokens
        self.kernel_initializer = initializer_config(kernel_initializer)

    def build(self, inputs_shape):
        _, tokens, width = inputs_shape
        if tokens is None:
            raise ValueError(
                "LinformerAttention projects a fixed number of tokens: give its input "
                "one"
            )
        self.head_size = head_size(width, self.num_heads)
        self.query = dense(self, width, "query")
        self.key = dense(self, width, "key")
        self.value = dense(self, width, "value")
        self.output_projection = dense(self, width, "output")
        for layer in (self.query, self.key, self.value, self.output_projection):
            layer.build(inputs_shape)
        self.key_projection, self.value_projection = (
            self.add_weight(
                name=name,
                shape=(self.projected_tokens, tokens),
                initializer=self.kernel_initializer,
            )
            for name in ("key_projection", "value_projection")
        )

    def call(self, inputs, return_attention_maps=False):
        query = split_heads(self.query(inputs), self.num_heads)  # (B, h, N, d)
        value_projection = ops.cast(self.value_projection, query.dtype)
        key = ops.matmul(ops.cast(self.key_projection, query.dtype), self.key(inputs))
        value = ops.matmul(value_projection, self.value(inputs))  # (B, k, D)
        key, value = (split_heads(x, self.num_heads) for x in (key, value))
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        scores = ops.cast(scores, "float32") / self.head_size**0.5
        weights = ops.softmax(scores)  # (B, h, N, k)
        mixed = join_heads(ops.matmul(ops.cast(weights, value.dtype), value))
        output = self.output_projection(mixed)
        if return_attention_maps:
            projection = ops.cast(value_projection, "float32")
            return output, ops.matmul(ops.mean(weights, axis=2), projection)
        return output

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "projected_tokens": self.projected_tokens,
            "kernel_initializer": self.kernel_initializer,
        }
