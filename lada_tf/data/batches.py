"""From a source to training's batches: order, gather, flip, scale."""

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
    """An endless dataset whose every batch is a function of seed and step alone.

    Each epoch is a full reshuffle; batches straddle epochs and no image is dropped.
    Resuming is `start_step`: `batches(..., start_step=k)` is bit for bit
    `batches(...).skip(k)`, and no iterator state has to be saved.

    Args:
        source: what `open_source` returns.
        batch_size: images in a batch of this shard.
        seed: an integer >= 0.
        start_step: number of the first batch.
        flip: mirror each image left to right with probability 1/2.
        shard_index, num_shards: of `num_shards` workers that share `seed`, this is
            number `shard_index`. Together, in order, their batches are the batch of
            `num_shards * batch_size` that a single worker would see.

    Returns:
        A `tf.data.Dataset` of float32 (batch_size, size, size, 3) in [-1, 1].

    Raises:
        UserError: an argument is out of range.

    Example:
        >>> source = lada_tf.data.open_source("portraits", image_size=32)
        >>> next(iter(lada_tf.data.batches(source, 64, seed=0))).shape
        TensorShape([64, 32, 32, 3])
    """
    _check(batch_size, seed, start_step, shard_index, num_shards)
    if len(source) < batch_size * num_shards:
        warnings.warn(
            f"{len(source)} images are fewer than a batch of "
            f"{batch_size * num_shards}: images repeat within each batch",
            stacklevel=2,
        )
    indices = _batches_of_indices(
        len(source), batch_size * num_shards, seed, start_step
    )
    steps = tf.data.Dataset.range(start_step, tf.int64.max)
    shard = slice(shard_index * batch_size, (shard_index + 1) * batch_size)
    shape = (batch_size, source.image_size, source.image_size, 3)

    @tf.autograph.experimental.do_not_convert
    def read(step: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
        images = tf.ensure_shape(source.gather(indices[shard]), shape)
        if flip:
            mirrored = flips(batch_size * num_shards, seed, step)[shard]
            images = tf.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
        return tf.cast(images, tf.float32) / 127.5 - 1.0

    # No Python may run in here: a thread that waits for the interpreter while that
    # shuts down would keep the process from ending.
    dataset = tf.data.Dataset.zip(steps, indices).map(read, 2).prefetch(2)
    # Nothing is left to tune, and the tuner's thread delays an iterator's end.
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def batch_indices(num_images: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """Which images of a source make up a step's batch: int64 (batch_size,)."""
    return next(iter(_batches_of_indices(num_images, batch_size, seed, step))).numpy()


def _batches_of_indices(
    num_images: int, batch_size: int, seed: int, start_step: int
) -> tf.data.Dataset:
    """Image indices from a step on, without end: int64 (batch_size,)."""
    first_epoch, offset = divmod(start_step * batch_size, num_images)

    @tf.autograph.experimental.do_not_convert
    def rest_of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        begin = tf.where(epoch == first_epoch, tf.constant(offset, tf.int64), 0)
        order = tf.cast(permutation(num_images, seed, epoch), tf.int64)
        return tf.data.Dataset.from_tensor_slices(order[begin:])

    epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)
    indices = epochs.flat_map(rest_of_epoch).batch(batch_size, drop_remainder=True)
    return indices.prefetch(16)


def _check(batch_size, seed, start_step, shard_index, num_shards) -> None:
    if batch_size < 1:
        raise UserError(f"batch_size must be at least 1, not {batch_size}")
    if seed < 0:
        raise UserError(f"seed must be 0 or more, not {seed}")
    if start_step < 0:
        raise UserError(f"start_step must be 0 or more, not {start_step}")
    if not 0 <= shard_index < num_shards:
        raise UserError(f"shard_index {shard_index} is not in [0, {num_shards})")
