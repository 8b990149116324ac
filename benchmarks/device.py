"""What both sides' workers tell of the accelerator."""

import tensorflow as tf


def device_peak_mb() -> float:
    """The most memory that TensorFlow had on the first GPU; 0 without one."""
    if not tf.config.list_physical_devices("GPU"):
        return 0.0
    return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
