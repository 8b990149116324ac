"""LadaAttention: linear additive attention (eqs 1-4)."""

import keras
import numpy as np
from keras import ops

from lada_tf.kernels import Tensor
from lada_tf.layers._common import MultiHeadLayer

SCORE_FORMS = ("joint", "per_head")


@keras.saving.register_keras_serializable("lada_tf")
class LadaAttention(MultiHeadLayer):
    """Mix N tokens at a cost linear in N.

    Each head of size d = D / h gives every token one score. It sums the queries into
    one global query g, weighted by the softmax α of the scores, and multiplies each key
    and value with g:

        α = softmax over the tokens of score(q) / √d        (1)
        g = Σᵢ αᵢ qᵢ                                         (2)
        rᵢ = (g ⊙ kᵢ) ⊙ vᵢ                                   (3)
        output = concat(heads of r) W + b                   (4)

    q, k and v are linear maps D → D of the inputs, with bias. ⊙ is the elementwise
    product.

    Args:
        num_heads: int, h. Must divide D, the width of the inputs.
        score: `"joint"` or `"per_head"`. With `"joint"`, one linear map with bias
            computes the h scores from all D query features, as in the authors' code.
            With `"per_head"`, each head has a vector w in R^d and computes wᵀqᵢ from
            its own query, as in the paper's eq 1.
        kernel_initializer: initializer of every kernel.

    Call arguments:
        x: float tensor (B, N, D), any N.
        return_attention_maps: bool. If True, also return the attention maps.
        mask: bool (B, N), or None. α is 0 where it is False. Keras passes the masks of
            layers such as `keras.layers.Masking`.

    Returns:
        A tensor (B, N, D) in the layer's compute dtype. With `return_attention_maps`, a
        pair (tokens, maps). The maps are α, float32 (B, h, N). Each row sums to 1.

    Raises:
        ValueError: if `num_heads` does not divide D, or `score` is unknown.

    Example:

    >>> tokens = keras.random.normal((2, 100, 64))
    >>> output, maps = LadaAttention(num_heads=4)(tokens, return_attention_maps=True)
    >>> output.shape, maps.shape
    ((2, 100, 64), (2, 4, 100))

    Reference:
        Morales-Juarez and Fuentes-Pineda, "Efficient generative adversarial networks
        using linear additive-attention Transformers", arXiv:2401.09596.
    """

    def __init__(
        self,
        num_heads: int,
        score: str = "joint",
        kernel_initializer: str | dict = "orthogonal",
        **kwargs,
    ):
        super().__init__(num_heads, kernel_initializer, **kwargs)
        if score not in SCORE_FORMS:
            raise ValueError(f"score={score!r} is not one of {SCORE_FORMS}")
        self.score = score

    def build(self, inputs_shape: tuple) -> None:
        self.build_heads(inputs_shape)
        self.query = self.token_map("query", inputs_shape)
        self.key = self.token_map("key", inputs_shape)
        self.value = self.token_map("value", inputs_shape)
        self.output_projection = self.token_map("output", inputs_shape)
        if self.score == "joint":
            self.score_map = self.token_map("score", inputs_shape, self.num_heads)
        else:
            self.score_vectors = self.add_weight(
                name="score_vectors",
                shape=(self.num_heads, self.head_size),
                initializer=self.kernel_initializer,
            )

    def call(
        self,
        x: Tensor,
        return_attention_maps: bool = False,
        mask: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        scores = self._scores(x) / self.head_size**0.5
        alpha = self.softmax(scores, mask)  # (1) (B, h, N)
        g = self._global_query(alpha, x)  # (2) (B, 1, D)
        r = g * self.key(x) * self.value(x)  # (3) (B, N, D)
        output = self.output_projection(r)  # (4) (B, N, D)
        return (output, alpha) if return_attention_maps else output

    def _scores(self, x):
        """Return the scores of all queries, float32 (B, h, N).

        The score is a linear map of the query, and the query is a linear map of x. This
        multiplies both kernels first (D → h), which saves the query of each token.
        """
        kernel, bias = self.query.kernel_and_bias()
        bias = ops.expand_dims(bias, 0)  # (1, D)
        if self.score == "joint":
            score, score_bias = self.score_map.kernel_and_bias()  # (D, h), (h,)
            to_scores = ops.matmul(kernel, score)  # (D, h)
            offsets = ops.matmul(bias, score) + score_bias  # (1, h)
        else:
            to_scores, offsets = (
                ops.sum(
                    ops.reshape(tensor, (-1, self.num_heads, self.head_size))
                    * self.score_vectors,
                    axis=-1,
                )
                for tensor in (kernel, bias)
            )  # (D, h), (1, h)
        scores = ops.matmul(x, ops.cast(to_scores, x.dtype))  # (B, N, h)
        scores = scores + ops.cast(offsets, x.dtype)
        return ops.transpose(ops.cast(scores, "float32"), (0, 2, 1))

    def _global_query(self, alpha, x):
        """Return Σᵢ αᵢ qᵢ of all heads, concatenated: (B, 1, D).

        Each row of α sums to 1. A head's global query is therefore the query of its
        mean token Σᵢ αᵢ xᵢ.
        """
        means = ops.matmul(ops.cast(alpha, self.compute_dtype), x)  # (B, h, D)
        # (B, h, h, d): all heads' queries of each mean token. Keep each head's own.
        shape = (-1, self.num_heads, self.num_heads, self.head_size)
        queries = ops.reshape(self.query(means), shape)
        is_own = ops.cast(np.eye(self.num_heads)[..., None], queries.dtype)  # (h, h, 1)
        own_queries = ops.sum(queries * is_own, axis=1)  # (B, h, d)
        return ops.reshape(own_queries, (-1, 1, x.shape[-1]))

    def get_config(self) -> dict:
        return {**super().get_config(), "score": self.score}
