"""Products of float32 in full."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf


@contextlib.contextmanager
def without_tf32() -> Iterator[None]:
    """For figures and comparisons, which are not to depend on the machine.

    On GPUs from NVIDIA's Ampere on, TensorFlow rounds the factors of float32 products
    to 10 bits (TF32), unless it is told not to.
    """
    enabled = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(enabled)
