"""ICNR: initial weights for a layer before a pixel shuffle."""

from typing import Any

import keras
from keras import ops

from lada_tf.kernels import Tensor
from lada_tf.layers._common import initializer_config, positive_int


@keras.saving.register_keras_serializable("lada_tf")
class ICNR(keras.initializers.Initializer):
    """Start all sub-pixels of a pixel shuffle with the same weights.

    A pixel shuffle by f turns f² groups of channels into the f² sub-pixels of each
    pixel. If the groups start with different weights, the images start with a
    checkerboard pattern, which training has to remove. With the same weights, the pixel
    shuffle starts as nearest-neighbor upsampling.

    Args:
        initializer: initializer of one group.
        factor: int f, factor of the `PixelShuffle`.

    Call arguments:
        shape: shape of the kernel. f² must divide its last entry, the channels.
        dtype: dtype of the kernel.

    Returns:
        A tensor of this shape, with f² copies of one group along the last axis.

    Raises:
        ValueError: if f² does not divide the number of channels.

    Example:

    >>> kernel = ICNR("orthogonal")((128, 64))
    >>> bool((kernel[:, :16] == kernel[:, 16:32]).numpy().all())
    True

    Reference:
        Aitken et al., "Checkerboard artifact free sub-pixel convolution",
        arXiv:1707.02937.
    """

    def __init__(
        self,
        initializer: str | dict | keras.initializers.Initializer = "orthogonal",
        factor: int = 2,
    ):
        self.initializer = initializer_config(initializer)
        self.factor = positive_int("factor", factor)

    def __call__(
        self, shape: tuple[int, ...], dtype: Any = None, **kwargs: Any
    ) -> Tensor:
        groups = self.factor**2
        if shape[-1] % groups:
            raise ValueError(
                f"ICNR with factor={self.factor} needs a number of channels divisible "
                f"by {groups}, not {shape[-1]}"
            )
        initializer = keras.initializers.deserialize(self.initializer)
        kernel = initializer((*shape[:-1], shape[-1] // groups), dtype=dtype, **kwargs)
        return ops.concatenate([kernel] * groups, axis=-1)

    def get_config(self) -> dict:
        return {"initializer": self.initializer, "factor": self.factor}
