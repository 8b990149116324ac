"""Check the images of a training run before its first step."""

import itertools
import types
import warnings
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from lada_tf import kernels
from lada_tf.layers._common import check_input

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

RESCALING = "keras.layers.Rescaling(1 / 127.5, -1)"
MAX_VALUE = 1.5  # not 1: resizing may overshoot


def check_images(images: kernels.Tensor, image_size: int) -> None:
    """Raise ValueError unless images are a float tensor (B, size, size, 3)."""
    check_input(
        "images",
        images,
        (None, image_size, image_size, 3),
        f"use RGB, channels last, resized by keras.layers.Resizing({image_size}, "
        f"{image_size}) and rescaled to [-1, 1] by {RESCALING}",
    )


def as_float32_images(images: kernels.Tensor, image_size: int) -> kernels.Tensor:
    """Check the shape as `check_images` does, and return float32 images."""
    check_images(images, image_size)
    images = tf.convert_to_tensor(images)
    if not images.shape[1:].is_fully_defined():
        images = tf.ensure_shape(images, (None, image_size, image_size, 3))
    return tf.cast(images, tf.float32)


def check_range(images: kernels.Tensor) -> None:
    """Raise ValueError if pixels are far outside [-1, 1]. Warn if none is negative."""
    low, high = float(ops.min(images)), float(ops.max(images))
    if not (low >= -MAX_VALUE and high <= MAX_VALUE):  # also for NaN
        raise ValueError(
            f"images are in [{low:.4g}, {high:.4g}], not in [-1, 1]: if they are in "
            f"[0, 255], rescale them with {RESCALING}"
        )
    if 0 <= low < high:
        warnings.warn(
            f"images are in [{low:.4g}, {high:.4g}]. If 0 is black, rescale them to "
            "[-1, 1] with keras.layers.Rescaling(2, -1)",
            stacklevel=4,  # the caller of `fit`
        )


def check_batch(batch: Any, image_size: int) -> None:
    """Check shape, dtype and range of a batch's images, if it has any.

    Raises:
        ValueError: if the images do not suit a network for this image size.
    """
    images = next(images_on_replicas(batch), None)
    if images is not None:
        check_images(images, image_size)
        if 0 in images.shape:
            raise ValueError("images are empty: pass at least one")
        check_range(images)


def images_on_replicas(batch: Any) -> Iterator[kernels.Tensor]:
    """Yield the images of a batch on each replica, without labels."""
    images, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
    if isinstance(images, tf.distribute.DistributedValues):
        yield from images.values
    elif images is not None:
        yield images


def with_first_batch(data: Any) -> tuple[Any, Any]:
    """Return the data for `fit`, still complete, and its first batch or None.

    A Python generator cannot be restarted, so a new one takes its place.

    Raises:
        ValueError: if the data is a dict, list or tuple of arrays.
    """
    if isinstance(data, types.GeneratorType):
        first = list(itertools.islice(data, 1))
        return (batch for batch in itertools.chain(first, data)), *(first or [None])
    if hasattr(data, "shape"):
        return data, data[:64]
    if isinstance(data, (dict, list, tuple)):
        raise ValueError(
            f"images must be one array or dataset, not {type(data).__name__}: join "
            "arrays with numpy.stack or numpy.concatenate"
        )
    if data is None:
        return data, data
    return data, next(iter(data), None)
