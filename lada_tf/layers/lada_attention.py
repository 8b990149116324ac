"""LadaAttention: linear additive attention, one attention vector per head (eqs 1-4)."""

import keras
import numpy as np
from keras import ops

from lada_tf.kernels import Tensor
from lada_tf.layers._common import MultiHeadLayer

SCORE_FORMS = ("joint", "per_head")


@keras.saving.register_keras_serializable("lada_tf")
class LadaAttention(MultiHeadLayer):
    """Mix N tokens at a cost linear in N.

    Every head of size d = D / h scores its tokens once, sums its queries into a single
    global query g, and modulates keys and values with it:

        α = softmax over the tokens of score(q) / √d        (1)
        g = Σᵢ αᵢ qᵢ                                         (2)
        rᵢ = (g ⊙ kᵢ) ⊙ vᵢ                                   (3)
        output = concat(heads of r) W + b                   (4)

    q, k and v are linear maps D → D of the inputs, with bias.

    Args:
        num_heads: int, h. Must divide D, the width of the inputs.
        score: `"joint"`, one linear map with bias from all D query features to h
            scores, as in the authors' code and their checkpoints; or `"per_head"`, the
            paper's eq 1: wᵀqᵢ with one vector w in R^d per head, over that head's own
            query.
        kernel_initializer: initializer of every kernel.

    Call arguments:
        x: float tensor (B, N, D), any N.
        return_attention_maps: bool. If True, also return α.
        mask: bool (B, N), or None. Where it is False, α is 0. Layers such as
            `keras.layers.Masking` before this one pass it on.

    Returns:
        A tensor (B, N, D) in the layer's compute dtype. With `return_attention_maps`, a
        pair of it and α, float32 (B, h, N). Each row of α sums to 1.

    Raises:
        ValueError: if `num_heads` is below 1 or does not divide D, `score` is unknown,
            or the input is not one tensor (B, N, D) with a fixed D.

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

        Both the score and the query are linear maps. This multiplies their kernels
        first (D → h), so that no per-token query is computed.
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
        """Return Σᵢ αᵢ qᵢ of every head, side by side: (B, 1, D).

        Each row of α sums to 1, so a head's global query equals the query of its mean
        token Σᵢ αᵢ xᵢ.
        """
        means = ops.matmul(ops.cast(alpha, self.compute_dtype), x)  # (B, h, D)
        # (B, h, h, d): every head's query of every mean token. Keep each head's own.
        shape = (-1, self.num_heads, self.num_heads, self.head_size)
        queries = ops.reshape(self.query(means), shape)
        is_own = ops.cast(np.eye(self.num_heads)[..., None], queries.dtype)  # (h, h, 1)
        own_queries = ops.sum(queries * is_own, axis=1)  # (B, h, d)
        return ops.reshape(own_queries, (-1, 1, x.shape[-1]))

    def get_config(self) -> dict:
        return {**super().get_config(), "score": self.score}
