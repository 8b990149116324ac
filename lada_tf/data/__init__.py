"""Data: any source of images -> one endless `tf.data` pipeline of batches."""

from lada_tf.data.batches import batch_indices, batches
from lada_tf.data.open import open_source
from lada_tf.data.source import ImageSource

__all__ = ["ImageSource", "batch_indices", "batches", "open_source"]
