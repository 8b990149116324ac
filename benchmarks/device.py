"""What both sides' workers tell of the accelerator."""

import tensorflow as tf


def device_peak_mb() -> float:
    """The most memory that TensorFlow had on the first GPU."""
    return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
