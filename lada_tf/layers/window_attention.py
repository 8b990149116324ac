"""WindowAttention: any attention, inside the windows of a grid of tokens."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable("lada_tf")
class WindowAttention(keras.layers.Layer):
    """Lets tokens attend to their own window only, at a cost linear in N.

    The N tokens are the rows of a square grid; it is cut into windows of w × w tokens
    that do not overlap, and one attention layer mixes each. Around
    `DotProductAttention` this is Swin's attention without its shifts and relative
    positions, as in the paper's Table I; around `LadaAttention` it is Lada-Swin.

    Args:
        attention: layer (B, n, D) → (B, n, D) with a `return_attention_maps` argument,
            not built yet. It computes in the dtype policy of this layer.
        window_size: int, w. A grid that is not larger is one window.

    Call arguments:
        inputs: float tensor (B, N, D); N is a square number, fixed when the layer is
            built.
        return_attention_maps: bool. If True, returns the attention maps too.

    Returns:
        A tensor (B, N, D); with `return_attention_maps`, the pair of it and the maps,
        float32 (B, h, N): those of the windows, each divided by their number.

    Raises:
        ValueError: if N is unknown or no square, or w does not divide the grid.

    Example:

    >>> swin = WindowAttention(DotProductAttention(num_heads=4), window_size=8)
    >>> swin(keras.random.normal((2, 256, 64))).shape
    (2, 256, 64)

    Reference:
        Liu et al., "Swin Transformer: hierarchical vision Transformer using shifted
        windows", arXiv:2103.14030.
    """

    def __init__(self, attention, window_size=8, **kwargs):
        super().__init__(**kwargs)
        self.attention = attention
        self.window_size = window_size

    def build(self, inputs_shape):
        _, tokens, width = inputs_shape
        side = math.isqrt(tokens or 0)
        if not tokens or side**2 != tokens:
            raise ValueError(
                f"WindowAttention needs a square grid of tokens, not {tokens} of them"
            )
        window = min(self.window_size, side)
        if side % window:
            raise ValueError(
                f"window_size={window} does not divide the {side}×{side} grid"
            )
        self.windows, self.window = side // window, window  # along a side
        self.attention.dtype_policy = self.dtype_policy
        self.attention.build((None, window**2, width))

    def call(self, inputs, return_attention_maps=False):
        n, w = self.windows, self.window
        width = inputs.shape[-1]
        windows = ops.reshape(inputs, (-1, n, w, n, w, width))
        windows = ops.transpose(windows, (0, 1, 3, 2, 4, 5))
        windows = ops.reshape(windows, (-1, w * w, width))  # (B·n², w², D)
        mixed, maps = self.attention(windows, return_attention_maps=True)
        output = self._joined(mixed)
        if return_attention_maps:
            maps = self._joined(ops.transpose(maps, (0, 2, 1))) / n**2
            return output, ops.transpose(maps, (0, 2, 1))
        return output

    def _joined(self, windows):
        """(B·n², w², C) → (B, N, C)."""
        n, w = self.windows, self.window
        width = windows.shape[-1]
        grid = ops.reshape(windows, (-1, n, n, w, w, width))
        grid = ops.transpose(grid, (0, 1, 3, 2, 4, 5))
        return ops.reshape(grid, (-1, n * w * n * w, width))

    def get_config(self):
        attention = keras.saving.serialize_keras_object(self.attention)
        attention.pop("build_config", None)  # this layer builds it
        return {
            **super().get_config(),
            "attention": attention,
            "window_size": self.window_size,
        }

    @classmethod
    def from_config(cls, config):
        attention = keras.saving.deserialize_keras_object(config["attention"])
        return cls(**{**config, "attention": attention})
