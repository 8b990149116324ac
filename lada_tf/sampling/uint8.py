"""Convert float images to uint8."""

from typing import Any

from keras import ops


def to_uint8(images: Any) -> Any:
    """Convert float images in [-1, 1] to uint8 in 0..255: round, then clip.

    Args:
        images: float array or tensor of any shape. Values outside [-1, 1] saturate.

    Returns:
        A uint8 tensor of the same shape. Wrap it in `np.asarray` for an array.
    """
    scaled = ops.cast(images, "float32") * 127.5 + 127.5
    return ops.cast(ops.clip(ops.round(scaled), 0, 255), "uint8")
