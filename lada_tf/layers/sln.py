"""SLN: self-modulated layer normalization (eq 5)."""

import keras
from keras import ops

from lada_tf import kernels
from lada_tf.layers._common import dense, initializer_config, token_sizes


@keras.saving.register_keras_serializable("lada_tf")
class SLN(keras.layers.Layer):
    """Normalize tokens with a scale and an offset that depend on a latent.

        SLN(h, z) = γ(z) ⊙ LayerNorm(h) + β(z)              (5)

    LayerNorm itself has no scale and no offset. γ and β are linear maps, with bias, of
    one hidden layer ReLU(W z + b). It is as wide as h, as in the authors' code.

    Args:
        epsilon: float, added to the variance.
        kernel_initializer: initializer of every kernel.

    Call arguments:
        inputs: float tensor h (B, N, D), any N.
        latents: float tensor z (B, L), any L.

    Returns:
        A tensor (B, N, D) in the layer's compute dtype. The normalization is always
        computed in float32.

    Example:

    >>> tokens = keras.random.normal((2, 64, 32))
    >>> SLN()(tokens, keras.random.normal((2, 128))).shape
    (2, 64, 32)

    References:
        Chen et al., "On self modulation for generative adversarial networks",
        arXiv:1810.01365; Lee et al., "ViTGAN", arXiv:2107.04589.
    """

    def __init__(
        self,
        epsilon: float = 1e-6,
        kernel_initializer: str | dict = "orthogonal",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.kernel_initializer = initializer_config(kernel_initializer)
        self.supports_masking = True

    def build(self, inputs_shape: tuple, latents_shape: tuple) -> None:
        _, width = token_sizes(self, inputs_shape)
        self.hidden = dense(self, width, "hidden", activation="relu")
        self.hidden.build(latents_shape)
        self.gamma = dense(self, width, "gamma")
        self.beta = dense(self, width, "beta")
        for layer in (self.gamma, self.beta):
            layer.build((*latents_shape[:-1], width))

    def call(self, inputs: kernels.Tensor, latents: kernels.Tensor) -> kernels.Tensor:
        hidden = self.hidden(latents)  # (B, D)
        gamma = ops.expand_dims(self.gamma(hidden), 1)  # (B, 1, D)
        beta = ops.expand_dims(self.beta(hidden), 1)  # (B, 1, D)
        return kernels.layer_norm(inputs, gamma, beta, self.epsilon)  # (5)

    def compute_output_shape(self, inputs_shape: tuple, latents_shape: tuple) -> tuple:
        return tuple(inputs_shape)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "epsilon": self.epsilon,
            "kernel_initializer": self.kernel_initializer,
        }
