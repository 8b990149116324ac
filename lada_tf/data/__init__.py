"""Data sources and the `tf.data` pipeline for training."""

from lada_tf.data.opening import open_source
from lada_tf.data.pipeline import batch_indices, batches
from lada_tf.data.source import ImageSource

__all__ = ["ImageSource", "batch_indices", "batches", "open_source"]
