"""FastformerAttention: additive attention over queries, then over keys."""

import keras
from keras import ops

from lada_tf.kernels.orthogonal import initializer_config
from lada_tf.layers._common import dense
from lada_tf.layers.heads import head_size


@keras.saving.register_keras_serializable("lada_tf")
class FastformerAttention(keras.layers.Layer):
    """Mixes N tokens at a cost linear in N, by a global query and a global key.

    For every head of size d = D / h, with ⊙ the elementwise product:

        α = softmax over the tokens of score(q) / √d,   g = Σᵢ αᵢ qᵢ
        pᵢ = g ⊙ kᵢ
        β = softmax over the tokens of score(p) / √d,   κ = Σᵢ βᵢ pᵢ
        output = W concat(κ ⊙ qᵢ) + b + q

    As in its authors' code, the queries serve as values too, the last map is the
    output's, and each score is one linear map from all D features to h numbers: three
    D → D maps in all, where Lada has four.

    Args:
        num_heads: int, h. Has to divide D, the width of the input.
        kernel_initializer: initializer of every kernel.

    Call arguments:
        inputs: float tensor (B, N, D), any N.
        return_attention_maps: bool. If True, returns β too.

    Returns:
        A tensor (B, N, D); with `return_attention_maps`, the pair of it and β, float32
        (B, h, N), each row summing to 1.

    Raises:
        ValueError: if `num_heads` does not divide D.

    Example:

    >>> FastformerAttention(num_heads=4)(keras.random.normal((2, 100, 64))).shape
    (2, 100, 64)

    Reference:
        Wu et al., "Fastformer: additive attention can be all you need",
        arXiv:2108.09084.
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
        self.transform = dense(self, width, "transform")
        self.query_score = dense(self, self.num_heads, "query_score")
        self.key_score = dense(self, self.num_heads, "key_score")
        for layer in (
            self.query,
            self.key,
            self.transform,
            self.query_score,
            self.key_score,
        ):
            layer.build(inputs_shape)

    def call(self, inputs, return_attention_maps=False):
        query = self.query(inputs)  # (B, N, D)
        global_query, _ = self._pool(query, self.query_score)  # (B, 1, D)
        keys = global_query * self.key(inputs)
        global_key, maps = self._pool(keys, self.key_score)
        output = self.transform(global_key * query) + query
        if return_attention_maps:
            return output, ops.transpose(maps, (0, 2, 1))
        return output

    def _pool(self, tokens, score):
        """Each head's weighted sum of tokens, (B, 1, D), and the weights (B, N, h)."""
        scores = ops.cast(score(tokens), "float32") / self.head_size**0.5
        weights = ops.softmax(scores, axis=1)
        count, width = ops.shape(tokens)[1], tokens.shape[-1]
        heads = ops.reshape(tokens, (-1, count, self.num_heads, self.head_size))
        weighted = ops.expand_dims(ops.cast(weights, tokens.dtype), -1) * heads
        return ops.reshape(ops.sum(weighted, axis=1), (-1, 1, width)), weights

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "kernel_initializer": self.kernel_initializer,
        }
