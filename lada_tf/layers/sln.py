"""SLN: self-modulated layer normalization (eq 5)."""

import keras
from keras import ops

from lada_tf.kernels.orthogonal import initializer_config
from lada_tf.kernels.xla_kernel import on_processor
from lada_tf.layers._common import dense
from lada_tf.layers.layer_norm import fused_layer_norm


@keras.saving.register_keras_serializable("lada_tf")
class SLN(keras.layers.Layer):
    """Layer normalization whose scale and offset are functions of a latent.

        SLN(h, z) = γ(z) ⊙ LayerNorm(h) + β(z)              (5)

    LayerNorm has neither scale nor offset. γ and β are linear maps, with bias, of one
    shared hidden layer ReLU(W z + b) of the width of h, as in the authors' code.

    Args:
        epsilon: float, added to the variance.
        kernel_initializer: initializer of every kernel.

    Call arguments:
        inputs: float tensor h (B, N, D), any N.
        latents: float tensor z (B, L), any L.
        training: bool, whether normalization and modulation are computed as one kernel,
            on processors: the same up to rounding, in less time and memory.

    Returns:
        A tensor (B, N, D) in the layer's compute dtype. The normalization itself is
        computed in float32 whatever the dtype policy.

    Example:

    >>> tokens = keras.random.normal((2, 64, 32))
    >>> SLN()(tokens, keras.random.normal((2, 128))).shape
    (2, 64, 32)

    Reference:
        Chen et al., "On self modulation for generative adversarial networks",
        arXiv:1810.01365; Lee et al., "ViTGAN", arXiv:2107.04589.
    """

    def __init__(self, epsilon=1e-6, kernel_initializer="orthogonal", **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.kernel_initializer = initializer_config(kernel_initializer)

    def build(self, inputs_shape, latents_shape):
        width = inputs_shape[-1]
        self.norm = keras.layers.LayerNormalization(
            epsilon=self.epsilon, center=False, scale=False, dtype="float32"
        )
        self.norm.build(inputs_shape)
        self.hidden = dense(self, width, "hidden", activation="relu")
        self.hidden.build(latents_shape)
        self.gamma = dense(self, width, "gamma")
        self.beta = dense(self, width, "beta")
        for layer in (self.gamma, self.beta):
            layer.build((*latents_shape[:-1], width))

    def call(self, inputs, latents, training=None):
        hidden = self.hidden(latents)  # (B, D)
        gamma = ops.expand_dims(self.gamma(hidden), 1)  # (B, 1, D)
        beta = ops.expand_dims(self.beta(hidden), 1)
        if training and on_processor():
            return fused_layer_norm(self.epsilon)(inputs, gamma, beta)
        return gamma * ops.cast(self.norm(inputs), self.compute_dtype) + beta

    def compute_output_shape(self, inputs_shape, latents_shape):
        return inputs_shape

    def get_config(self):
        return {
            **super().get_config(),
            "epsilon": self.epsilon,
            "kernel_initializer": self.kernel_initializer,
        }
