"""Process-wide state: garbage collection, TF32."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """For what makes very many objects that stay, as imports and tracing do.

    Python would look through all of them again and again.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextlib.contextmanager
def without_tf32() -> Iterator[None]:
    """For figures and comparisons, which are not to depend on the machine.

    On GPUs from NVIDIA's Ampere on, TensorFlow rounds the factors of float32 products
    to 10 bits (TF32), unless it is told not to.
    """
    import tensorflow as tf

    enabled = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(enabled)
