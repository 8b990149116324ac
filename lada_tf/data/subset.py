"""A part of a data set, for the study of data efficiency (paper, Table III)."""

import tensorflow as tf

from lada_tf.data.order import SUBSET, permutation
from lada_tf.data.source import ImageSource
from lada_tf.errors import UserError


class SubsetSource(ImageSource):
    """A share of a source's images, chosen at random.

    Nested: for one seed the images of a smaller share are among those of a larger.

    Args:
        source: the whole.
        share: in (0, 1]; round(share * N) images are kept, at least 1.
        seed: an integer >= 0.
    """

    def __init__(self, source: ImageSource, share: float, seed: int):
        if not 0 < share <= 1:
            raise UserError(f"subset must be above 0 and at most 1, not {share}")
        if seed < 0:
            raise UserError(f"subset_seed must be 0 or more, not {seed}")
        count = max(1, round(share * len(source)))
        self.image_size = source.image_size
        self.fingerprint = f"{source.fingerprint}:{count}@{seed}"
        self._source = source
        with tf.device("CPU:0"):
            order = permutation(len(source), seed, 0, SUBSET)
            self._indices = tf.cast(tf.sort(order[:count]), tf.int64)

    def __len__(self) -> int:
        return len(self._indices)

    def gather(self, indices: tf.Tensor) -> tf.Tensor:
        return self._source.gather(tf.gather(self._indices, indices))
