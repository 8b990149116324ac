"""Ladaformer: the Transformer block around LadaAttention (eqs 6-7, Fig. 1)."""

import keras
from keras import ops

from lada_tf import kernels
from lada_tf.layers._common import dense, initializer_config, positive_int, token_sizes
from lada_tf.layers.attentions import attention_class, check_trusted, make_attention
from lada_tf.layers.sln import SLN

NORMS = ("sln", "layer_norm")


@keras.saving.register_keras_serializable("lada_tf")
class Ladaformer(keras.layers.Layer):
    """Apply normalized attention, then a normalized MLP.

    The default is the generator's form (Fig. 1a). The latent z modulates it. Its MLP
    has no residual connection, which improves FID (Table I):

        x = LadaAttention(SLN(h, z)) + h                     (6)
        output = MLP(SLN(x, z))                              (7)

    With `norm="layer_norm", mlp_residual=True`, it is the discriminator's form
    (Fig. 1b):

        x = LadaAttention(LayerNorm(h)) + h
        output = MLP(LayerNorm(x)) + x

    The MLP is D → `mlp_dim` → D with an exact (erf) GELU after the first map.

    Args:
        num_heads: int, heads of the attention.
        mlp_dim: int, hidden width of the MLP.
        norm: `"sln"`, which needs latents, or `"layer_norm"`, with scale and offset.
        mlp_residual: bool. If True, the MLP has a residual connection.
        score: score form of the attention, see `LadaAttention`.
        attention: the attention layer: `"lada"`, `"fastformer"`, `"linformer"`,
            `"dot_product"`, `"swin"` (`"dot_product"` in 8×8 windows), `"lada_swin"`
            (`"lada"` in 8×8 windows), or your own, see
            `lada_tf.layers.attentions.make_attention`.
        epsilon: float, added to the variance in the normalizations.
        kernel_initializer: initializer of every kernel.
        output_initializer: initializer of the MLP's output kernel, such as `ICNR`. If
            None, `kernel_initializer`.

    Call arguments:
        inputs: float tensor h (B, N, D), any N.
        latents: float tensor z (B, L), for `norm="sln"` only.
        return_attention_maps: bool. If True, also return the attention maps.

    Returns:
        A tensor (B, N, D) in the layer's compute dtype. With `return_attention_maps`, a
        pair (tokens, maps). The maps are float32 (B, num_heads, N), see the attention.

    Raises:
        ValueError: if `norm` or `attention` is unknown. Also if latents are missing
            with `norm="sln"`, or given with `norm="layer_norm"`.

    Example:

    >>> tokens = keras.random.normal((2, 64, 32))
    >>> latents = keras.random.normal((2, 128))
    >>> Ladaformer()(tokens, latents).shape
    (2, 64, 32)
    >>> Ladaformer(norm="layer_norm", mlp_residual=True)(tokens).shape
    (2, 64, 32)

    Reference:
        Morales-Juarez and Fuentes-Pineda, arXiv:2401.09596, Fig. 1.
    """

    def __init__(
        self,
        num_heads: int = 4,
        mlp_dim: int = 512,
        norm: str = "sln",
        mlp_residual: bool = False,
        score: str = "joint",
        attention: str = "lada",
        epsilon: float = 1e-6,
        kernel_initializer: str | dict = "orthogonal",
        output_initializer: str | dict | keras.initializers.Initializer | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if norm not in NORMS:
            raise ValueError(f"norm={norm!r} is not one of {NORMS}")
        attention_class(attention)  # raises ValueError if it is unknown
        self.num_heads = positive_int("num_heads", num_heads)
        self.mlp_dim = positive_int("mlp_dim", mlp_dim)
        self.norm = norm
        self.mlp_residual = mlp_residual
        self.score = score
        self.attention_name = attention
        self.epsilon = epsilon
        self.kernel_initializer = initializer_config(kernel_initializer)
        # Do not call `initializer_config` again: it draws a seed, which would change
        # the seeds of all later layers.
        self.output_initializer = (
            self.kernel_initializer
            if output_initializer is None
            else initializer_config(output_initializer)
        )

    def build(self, inputs_shape: tuple, latents_shape: tuple | None = None) -> None:
        self._check_latents(latents_shape)
        _, width = token_sizes(self, inputs_shape)
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
        self.mlp_output = dense(
            self, width, "mlp_output", kernel_initializer=self.output_initializer
        )
        self.mlp_output.build((*inputs_shape[:-1], self.mlp_dim))
        self.attention_norm = self._make_norm("attention_norm")
        self.mlp_norm = self._make_norm("mlp_norm")
        z_shape = () if latents_shape is None else (latents_shape,)
        for norm in (self.attention_norm, self.mlp_norm):
            norm.build(inputs_shape, *z_shape)

    def call(
        self,
        inputs: kernels.Tensor,
        latents: kernels.Tensor | None = None,
        return_attention_maps: bool = False,
    ) -> kernels.Tensor | tuple[kernels.Tensor, kernels.Tensor]:
        self._check_latents(latents)
        z = () if latents is None else (latents,)
        attended, maps = self.attention(
            self.attention_norm(inputs, *z), return_attention_maps=True
        )
        x = ops.cast(inputs, attended.dtype) + attended  # (6) (B, N, D)
        output = self._mlp(self.mlp_norm(x, *z))  # (7) (B, N, D)
        if self.mlp_residual:
            output = output + x
        return (output, maps) if return_attention_maps else output

    def _mlp(self, x):
        hidden = kernels.gelu(self.mlp_hidden(x))  # (B, N, mlp_dim)
        return self.mlp_output(hidden)  # (B, N, D)

    def _check_latents(self, latents):
        if (latents is not None) != (self.norm == "sln"):
            verb = "needs" if self.norm == "sln" else "takes no"
            raise ValueError(
                f"Ladaformer with norm={self.norm!r} {verb} latents: only norm='sln' "
                "has them as its second input"
            )

    def _make_norm(self, name):
        if self.norm == "sln":
            return SLN(
                self.epsilon,
                self.kernel_initializer,
                dtype=self.dtype_policy,
                name=name,
            )
        return _LayerNorm(epsilon=self.epsilon, dtype="float32", name=name)

    def get_config(self) -> dict:
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
            "output_initializer": self.output_initializer,
        }

    @classmethod
    def from_config(cls, config: dict) -> "Ladaformer":
        check_trusted(config.get("attention", "lada"))
        return cls(**config)


class _LayerNorm(keras.layers.LayerNormalization):
    """`keras.layers.LayerNormalization` that calls `kernels.layer_norm`."""

    def call(self, inputs):
        return kernels.layer_norm(inputs, self.gamma, self.beta, self.epsilon)
