"""WindowAttention: any attention layer, applied to windows of a grid of tokens."""

import math

import keras
from keras import ops

from lada_tf.kernels import Tensor
from lada_tf.layers._common import positive_int, token_sizes


@keras.saving.register_keras_serializable("lada_tf")
class WindowAttention(keras.layers.Layer):
    """Apply an attention layer inside windows of tokens, at a cost linear in N.

    The N tokens form a square grid, row by row. The layer cuts the grid into
    non-overlapping windows of w × w tokens and applies the same attention layer to each
    window. With `DotProductAttention`, this is Swin's attention without its shifts and
    relative positions, as in the paper's Table I. With `LadaAttention`, it is the
    table's Lada-Swin.

    Args:
        attention: unbuilt layer (B, n, D) → (B, n, D) with a `return_attention_maps`
            argument. It gets the dtype policy of this layer.
        window_size: int, w. A grid with a smaller side is one window.

    Call arguments:
        inputs: float tensor (B, N, D). N is a square number, and fixed when the layer
            is built.
        return_attention_maps: bool. If True, also return the attention maps.

    Returns:
        A tensor (B, N, D) in the layer's compute dtype. With `return_attention_maps`, a
        pair (tokens, maps). The maps are float32 (B, h, N): the maps of all windows,
        divided by the number of windows.

    Raises:
        ValueError: if N is unknown or not a square number, or if w does not divide the
            side of the grid.

    Example:

    >>> swin = WindowAttention(DotProductAttention(num_heads=4), window_size=8)
    >>> swin(keras.random.normal((2, 256, 64))).shape
    (2, 256, 64)

    Reference:
        Liu et al., "Swin Transformer: hierarchical vision Transformer using shifted
        windows", arXiv:2103.14030.
    """

    def __init__(self, attention: keras.layers.Layer, window_size: int = 8, **kwargs):
        super().__init__(**kwargs)
        self.attention = attention
        self.window_size = positive_int("window_size", window_size)

    def build(self, inputs_shape: tuple) -> None:
        tokens, width = token_sizes(self, inputs_shape, fixed_count=True)
        side = math.isqrt(tokens)
        if side**2 != tokens:
            raise ValueError(
                f"WindowAttention needs a square number of tokens, not {tokens}"
            )
        window = min(self.window_size, side)
        if side % window:
            raise ValueError(
                f"window_size={window} does not divide the {side}×{side} grid"
            )
        self.windows, self.window = side // window, window  # per side of the grid
        self.attention.dtype_policy = self.dtype_policy
        self.attention.build((None, window**2, width))

    def call(
        self, inputs: Tensor, return_attention_maps: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        n, w = self.windows, self.window
        width = inputs.shape[-1]
        windows = ops.reshape(inputs, (-1, n, w, n, w, width))
        windows = ops.transpose(windows, (0, 1, 3, 2, 4, 5))  # (B, n, n, w, w, D)
        windows = ops.reshape(windows, (-1, w * w, width))  # (B·n², w², D)
        mixed, maps = self.attention(windows, return_attention_maps=True)
        output = self._join(mixed)  # (B, N, D)
        if return_attention_maps:
            maps = self._join(ops.transpose(maps, (0, 2, 1))) / n**2
            return output, ops.transpose(maps, (0, 2, 1))
        return output

    def _join(self, windows):
        """Reshape windows (B·n², w², C) to tokens (B, N, C)."""
        n, w = self.windows, self.window
        width = windows.shape[-1]
        grid = ops.reshape(windows, (-1, n, n, w, w, width))
        grid = ops.transpose(grid, (0, 1, 3, 2, 4, 5))
        return ops.reshape(grid, (-1, n * w * n * w, width))

    def get_config(self) -> dict:
        attention = keras.saving.serialize_keras_object(self.attention)
        attention.pop("build_config", None)  # this layer builds it
        return {
            **super().get_config(),
            "attention": attention,
            "window_size": self.window_size,
        }

    @classmethod
    def from_config(cls, config: dict) -> "WindowAttention":
        attention = keras.saving.deserialize_keras_object(config["attention"])
        return cls(**{**config, "attention": attention})
