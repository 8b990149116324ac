"""FastformerAttention: additive attention over queries, then over keys."""

import keras
from keras import ops

from lada_tf.kernels import Tensor
from lada_tf.layers._common import MultiHeadLayer


@keras.saving.register_keras_serializable("lada_tf")
class FastformerAttention(MultiHeadLayer):
    """Mix N tokens at a cost linear in N, with a global query and a global key.

    Each head of size d = D / h computes:

        α = softmax over the tokens of score(q) / √d,   g = Σᵢ αᵢ qᵢ
        pᵢ = g ⊙ kᵢ
        β = softmax over the tokens of score(p) / √d,   κ = Σᵢ βᵢ pᵢ
        output = W concat(κ ⊙ qᵢ) + b + q

    q and k are linear maps D → D of the inputs, with bias. ⊙ is the elementwise
    product. Two details follow the code of Fastformer's authors: the queries also serve
    as values, and one linear map with bias computes the h scores from all D features.

    Args:
        num_heads: int, h. Must divide D, the width of the inputs.
        kernel_initializer: initializer of every kernel.

    Call arguments:
        inputs: float tensor (B, N, D), any N.
        return_attention_maps: bool. If True, also return the attention maps.
        mask: bool (B, N), or None. α and β are 0 where it is False.

    Returns:
        A tensor (B, N, D) in the layer's compute dtype. With `return_attention_maps`, a
        pair (tokens, maps). The maps are β, float32 (B, h, N). Each row sums to 1.

    Raises:
        ValueError: if `num_heads` does not divide D.

    Example:

    >>> FastformerAttention(num_heads=4)(keras.random.normal((2, 100, 64))).shape
    (2, 100, 64)

    Reference:
        Wu et al., "Fastformer: additive attention can be all you need",
        arXiv:2108.09084.
    """

    def build(self, inputs_shape: tuple) -> None:
        self.build_heads(inputs_shape)
        self.query = self.token_map("query", inputs_shape)
        self.key = self.token_map("key", inputs_shape)
        self.transform = self.token_map("transform", inputs_shape)
        self.query_score = self.token_map("query_score", inputs_shape, self.num_heads)
        self.key_score = self.token_map("key_score", inputs_shape, self.num_heads)

    def call(
        self,
        inputs: Tensor,
        return_attention_maps: bool = False,
        mask: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        query = self.query(inputs)  # (B, N, D)
        global_query, _ = self._pool(query, self.query_score, mask)  # (B, 1, D)
        keys = global_query * self.key(inputs)  # (B, N, D)
        # (B, 1, D), (B, N, h)
        global_key, maps = self._pool(keys, self.key_score, mask)
        output = self.transform(global_key * query) + query  # (B, N, D)
        if return_attention_maps:
            return output, ops.transpose(maps, (0, 2, 1))
        return output

    def _pool(self, tokens, score, mask):
        """Return the weighted sum of tokens (B, 1, D) and the weights (B, N, h)."""
        scores = ops.cast(score(tokens), "float32") / self.head_size**0.5  # (B, N, h)
        weights = self.softmax(scores, mask, axis=1)
        count, width = ops.shape(tokens)[1], tokens.shape[-1]
        # (B, N, h, d)
        heads = ops.reshape(tokens, (-1, count, self.num_heads, self.head_size))
        weighted = ops.expand_dims(ops.cast(weights, tokens.dtype), -1) * heads
        return ops.reshape(ops.sum(weighted, axis=1), (-1, 1, width)), weights
