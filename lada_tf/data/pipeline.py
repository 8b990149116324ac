"""The `tf.data` pipeline for training: shuffle, gather, flip, scale."""

import warnings

import numpy as np
import tensorflow as tf

from lada_tf.data.order import flips, permutation
from lada_tf.data.source import ImageSource
from lada_tf.errors import UserError


def batches(
    source: ImageSource,
    batch_size: int,
    *,
    seed: int,
    start_step: int = 0,
    flip: bool = False,
    shard_index: int = 0,
    num_shards: int = 1,
) -> tf.data.Dataset:
    """Make an endless dataset of training batches.

    Each batch depends only on the seed and the step. Each epoch is a full reshuffle.
    A batch can span two epochs, so no image is dropped. `batches(..., start_step=k)`
    equals `batches(...).skip(k)` bit for bit, so resuming needs no iterator state.

    Args:
        source: The images, from `open_source`.
        batch_size: Images per batch of this shard.
        seed: An integer >= 0.
        start_step: Step of the first batch.
        flip: Mirror each image left to right with probability 1/2.
        shard_index: Index of this worker among `num_shards` workers.
        num_shards: Number of workers that share `seed`. Their batches, concatenated in
            order, equal the batch of size `num_shards * batch_size` of a single worker.

    Returns:
        A `tf.data.Dataset` of float32 (batch_size, size, size, 3) in [-1, 1].

    Raises:
        UserError: An argument is out of range.

    Example:
        >>> source = lada_tf.data.open_source("portraits", image_size=32)
        >>> next(iter(lada_tf.data.batches(source, 64, seed=0))).shape
        TensorShape([64, 32, 32, 3])
    """
    minimum = {"batch_size": 1, "seed": 0, "start_step": 0}
    for name, value in zip(minimum, (batch_size, seed, start_step), strict=True):
        if value < minimum[name]:
            raise UserError(f"{name}={value}: must be at least {minimum[name]}")
    if not 0 <= shard_index < num_shards:
        raise UserError(f"shard_index={shard_index}: must be in [0, {num_shards})")
    global_batch_size = batch_size * num_shards
    if len(source) < global_batch_size:
        warnings.warn(
            f"the source has {len(source)} images, fewer than the batch size "
            f"{global_batch_size}: images will repeat within each batch",
            stacklevel=2,
        )
    steps = tf.data.Dataset.range(start_step, tf.int64.max)
    indices = _index_batches(len(source), global_batch_size, seed, start_step)
    shard = slice(shard_index * batch_size, (shard_index + 1) * batch_size)
    shape = (batch_size, source.image_size, source.image_size, 3)

    @tf.autograph.experimental.do_not_convert
    def read(step: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
        images = tf.ensure_shape(source.gather(indices[shard]), shape)
        if flip:
            mirrored = flips(global_batch_size, seed, step)[shard]
            images = tf.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
        return tf.cast(images, tf.float32) / 127.5 - 1.0

    # The pipeline must not call Python. A thread that waits for the interpreter during
    # shutdown would keep the process from exiting.
    dataset = tf.data.Dataset.zip(steps, indices).map(read, 2).prefetch(2)
    # There is nothing to tune, and the tuner's thread delays the end of an iterator.
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def batch_indices(num_images: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """Return the indices of the images in a step's batch: int64 (batch_size,)."""
    return next(iter(_index_batches(num_images, batch_size, seed, step))).numpy()


def _index_batches(
    num_images: int, batch_size: int, seed: int, start_step: int
) -> tf.data.Dataset:
    """Make an endless dataset of image indices: int64 (batch_size,) per step."""
    first_epoch, offset = divmod(start_step * batch_size, num_images)

    @tf.autograph.experimental.do_not_convert
    def rest_of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        begin = tf.where(epoch == first_epoch, tf.constant(offset, tf.int64), 0)
        order = tf.cast(permutation(num_images, seed, epoch), tf.int64)
        return tf.data.Dataset.from_tensor_slices(order[begin:])

    epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)
    indices = epochs.flat_map(rest_of_epoch).batch(batch_size, drop_remainder=True)
    return indices.prefetch(16)
