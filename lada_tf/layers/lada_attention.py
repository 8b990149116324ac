"""LadaAttention: linear additive attention, one attention vector a head (eqs 1-4)."""

import keras
import numpy as np
from keras import ops

from lada_tf.kernels.orthogonal import initializer_config
from lada_tf.layers._common import dense
from lada_tf.layers.heads import head_size

SCORES = ("joint", "per_head")


@keras.saving.register_keras_serializable("lada_tf")
class LadaAttention(keras.layers.Layer):
    """Mixes N tokens at a cost linear in N.

    Every head of size d = D / h scores its tokens once, sums its queries into a single
    global vector g, and modulates keys and values with it:

        α = softmax over the tokens of score(q) / √d        (1)
        g = Σᵢ αᵢ qᵢ                                         (2)
        rᵢ = (g ⊙ kᵢ) ⊙ vᵢ                                   (3)
        output = concat(heads of r) W + b                   (4)

    q, k and v are linear maps D → D of the input, with bias.

    Args:
        num_heads: int, h. Has to divide D, the width of the input.
        score: `"joint"`, one linear map with bias from all D query features to h
            scores, as in the authors' code and their checkpoints; or `"per_head"`, the
            paper's eq 1: wᵀqᵢ with one w in R^d a head, over that head's own query.
        kernel_initializer: initializer of every kernel.

    Call arguments:
        inputs: float tensor (B, N, D), any N.
        return_attention_maps: bool. If True, returns α too.

    Returns:
        A tensor (B, N, D) in the layer's compute dtype; with `return_attention_maps`,
        the pair of it and α, float32 (B, h, N), each row summing to 1.

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
        self, num_heads, score="joint", kernel_initializer="orthogonal", **kwargs
    ):
        super().__init__(**kwargs)
        if score not in SCORES:
            raise ValueError(f"score={score!r} is not one of {SCORES}")
        self.num_heads = num_heads
        self.score = score
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
        if self.score == "joint":
            self.score_map = dense(self, self.num_heads, "score")
            self.score_map.build(inputs_shape)
        else:
            self.score_vectors = self.add_weight(
                name="score_vectors",
                shape=(self.num_heads, self.head_size),
                initializer=self.kernel_initializer,
            )

    def call(self, inputs, return_attention_maps=False):
        # Scores are linear in the queries and α sums to 1, so that a head's global
        # query is the query of its mean input: none is computed for each token.
        maps = self._attention_maps(inputs)  # (B, h, N)
        weights = ops.cast(maps, self.compute_dtype)
        means = ops.matmul(weights, inputs)  # (B, h, D): Σᵢ αᵢ xᵢ
        heads = (self.num_heads, self.head_size)
        queries = ops.reshape(self.query(means), (-1, self.num_heads, *heads))
        own = ops.cast(np.eye(self.num_heads)[..., None], queries.dtype)
        global_query = ops.sum(queries * own, axis=1)  # (B, h, d)
        global_query = ops.reshape(global_query, (-1, 1, inputs.shape[-1]))
        mixed = global_query * self.key(inputs) * self.value(inputs)
        output = self.output_projection(mixed)
        return (output, maps) if return_attention_maps else output

    def _attention_maps(self, inputs):
        """Inputs (B, N, D) → α (B, h, N) in float32, softmax over the tokens."""
        kernel, bias = self.query.kernel, ops.expand_dims(self.query.bias, 0)
        if self.score == "joint":
            score = self.score_map.kernel  # (D, h)
            to_scores = ops.matmul(kernel, score)
            offsets = ops.matmul(bias, score) + self.score_map.bias
        else:
            to_scores, offsets = (
                ops.sum(
                    ops.reshape(tensor, (-1, self.num_heads, self.head_size))
                    * self.score_vectors,
                    axis=-1,
                )
                for tensor in (kernel, bias)
            )
        scores = ops.matmul(inputs, ops.cast(to_scores, inputs.dtype))
        scores = scores + ops.cast(offsets, inputs.dtype)
        scores = ops.transpose(ops.cast(scores, "float32"), (0, 2, 1))
        return ops.softmax(scores / self.head_size**0.5)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "score": self.score,
            "kernel_initializer": self.kernel_initializer,
        }
