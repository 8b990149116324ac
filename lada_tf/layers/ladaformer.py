"""Ladaformer: the Transformer block around LadaAttention (eqs 6-7, Fig. 1)."""

import keras
from keras import ops

from lada_tf.kernels.orthogonal import initializer_config
from lada_tf.layers._common import by_rows, dense
from lada_tf.layers.attentions import check_attention, make_attention
from lada_tf.layers.gelu import fused_gelu, gelu
from lada_tf.layers.layer_norm import LayerNorm
from lada_tf.layers.sln import SLN

NORMS = ("sln", "layer_norm")


@keras.saving.register_keras_serializable("lada_tf")
class Ladaformer(keras.layers.Layer):
    """Attention and an MLP, each behind a normalization.

    The generator's form (Fig. 1a; the default) is modulated by the latent and has
    **no** residual around its MLP, which the paper found to help (Table I):

        x = LadaAttention(SLN(h, z)) + h                     (6)
        output = MLP(SLN(x, z))                              (7)

    The discriminator's form (Fig. 1b) is `norm="layer_norm", mlp_residual=True`:

        x = LadaAttention(LayerNorm(h)) + h
        output = MLP(LayerNorm(x)) + x

    The MLP is D → `mlp_dim` → D with an exact (erf) GELU after the first map.
    `attention` puts another attention in the place of Lada's (Table I).

    Args:
        num_heads: int, heads of the attention.
        mlp_dim: int, hidden width of the MLP.
        norm: `"sln"` (takes latents) or `"layer_norm"` (with scale and offset).
        mlp_residual: bool, whether the MLP has a residual connection.
        score: score form of the attention, see `LadaAttention`.
        attention: the attention: `"lada"`, `"fastformer"`, `"linformer"`, `"dot_product"`,
            `"swin"` (dot products in 8×8 windows), `"lada_swin"` (Lada in them), or
            `"module:Class"`, see `lada_tf.layers.attentions`.
        epsilon: float, of the normalizations.
        kernel_initializer: initializer of every kernel.

    Call arguments:
        inputs: float tensor h (B, N, D), any N.
        latents: float tensor z (B, L); needed by `norm="sln"` and only there.
        training: bool, whether GELU, and on processors each normalization, is computed
            as one kernel (with TensorFlow and XLA): the same up to rounding, in less
            time and memory.
        return_attention_maps: bool. If True, returns the attention maps too.

    Returns:
        A tensor (B, N, D); with `return_attention_maps`, the pair of it and the maps,
        float32 (B, num_heads, N).

    Raises:
        ValueError: if `norm` or `attention` is unknown, or latents are missing where
            `norm="sln"`, or given where it is not.

    Example:

    >>> tokens = keras.random.normal((2, 64, 32))
    >>> latents = keras.random.normal((2, 128))
    >>> Ladaformer()(tokens, latents).shape
    (2, 64, 32)
    >>> Ladaformer(norm="layer_norm", mlp_residual=True)(tokens).shape
    (2, 64, 32)
    """

    def __init__(
        self,
        num_heads=4,
        mlp_dim=512,
        norm="sln",
        mlp_residual=False,
        score="joint",
        attention="lada",
        epsilon=1e-6,
        kernel_initializer="orthogonal",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if norm not in NORMS:
            raise ValueError(f"norm={norm!r} is not one of {NORMS}")
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.norm = norm
        self.mlp_residual = mlp_residual
        check_attention(attention)
        self.score = score
        self.attention_name = attention
        self.epsilon = epsilon
        self.kernel_initializer = initializer_config(kernel_initializer)

    def build(self, inputs_shape, latents_shape=None):
        self._check_latents(latents_shape)
        self.attention = make_attention(
            self.attention_name,
            self.num_heads,
            self.score,
            self.kernel_initializer,
            self.dtype_policy,
        )
        self.attention.build(inputs_shape)
        self.mlp_hidden = dense(self, self.mlp_dim, "mlp_hidden")
        self.mlp_hidden.build(inputs_shape)
        self.mlp_output = dense(self, inputs_shape[-1], "mlp_output")
        self.mlp_output.build((*inputs_shape[:-1], self.mlp_dim))
        self.attention_norm = self._norm("attention_norm")
        self.mlp_norm = self._norm("mlp_norm")
        for norm in (self.attention_norm, self.mlp_norm):
            if self.norm == "sln":
                norm.build(inputs_shape, latents_shape)
            else:
                norm.build(inputs_shape)

    def call(self, inputs, latents=None, training=None, return_attention_maps=False):
        self._check_latents(latents)
        modulation = () if latents is None else (latents,)
        normal = self.attention_norm(inputs, *modulation, training=training)
        attended, maps = self.attention(normal, return_attention_maps=True)
        x = ops.cast(inputs, attended.dtype) + attended
        normal = self.mlp_norm(x, *modulation, training=training)
        output = self._mlp(normal, training)
        if self.mlp_residual:
            output = output + x
        return (output, maps) if return_attention_maps else output

    def _mlp(self, x, training):
        activation = fused_gelu if training else gelu
        return by_rows(lambda x: self.mlp_output(activation(self.mlp_hidden(x))), x)

    def _check_latents(self, latents):
        if (latents is not None) != (self.norm == "sln"):
            verb = "needs" if self.norm == "sln" else "takes no"
            raise ValueError(f"Ladaformer with norm={self.norm!r} {verb} latents")

    def _norm(self, name):
        if self.norm == "sln":
            return SLN(
                self.epsilon,
                self.kernel_initializer,
                dtype=self.dtype_policy,
                name=name,
            )
        return LayerNorm(epsilon=self.epsilon, dtype="float32", name=name)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp_dim,
            "norm": self.norm,
            "mlp_residual": self.mlp_residual,
            "score": self.score,
            "attention": self.attention_name,
            "epsilon": self.epsilon,
            "kernel_initializer": self.kernel_initializer,
        }
