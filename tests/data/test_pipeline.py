import itertools
import subprocess
import sys

import numpy as np
import pytest

from lada_tf.data import batches
from lada_tf.data.source import MemorySource
from lada_tf.errors import UserError


def numbered(count: int, size: int = 4) -> MemorySource:
    """Make a source in which image i has the value i, but 255 in its left column."""
    array = np.empty((count, size, size, 3), np.uint8)
    array[:] = np.arange(count).reshape(-1, 1, 1, 1)
    array[:, :, 0] = 255
    return MemorySource(array, f"numbered:{count}")


def take(dataset, count: int) -> np.ndarray:
    return np.stack([batch.numpy() for batch in itertools.islice(dataset, count)])


def numbers(images: np.ndarray) -> np.ndarray:
    return np.rint((images[..., 2, 2, 0] + 1) * 127.5).astype(int)


def test_batches_are_scaled_and_statically_shaped():
    dataset = batches(numbered(10), 3, seed=0)
    assert dataset.element_spec.shape == (3, 4, 4, 3)
    images = take(dataset, 4)
    assert images.dtype == np.float32
    assert images.max() == 1.0
    assert images.min() == -1.0  # image 0 is one of the 12


def test_values_are_the_pixels():
    array = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    with pytest.warns(UserWarning, match="fewer"):
        dataset = batches(MemorySource(array, ""), 2, seed=0)
    expected = array[0] / np.float32(127.5) - 1
    for image in take(dataset, 1)[0]:
        # NumPy and TensorFlow may round the float32 division differently.
        np.testing.assert_allclose(image, expected, atol=1.2e-7)


def test_no_image_is_dropped_when_batches_straddle_epochs():
    images = take(batches(numbered(10), 4, seed=5), 5)
    np.testing.assert_array_equal(
        np.sort(numbers(images).reshape(2, 10)), [range(10)] * 2
    )


@pytest.mark.parametrize("flip", [False, True])
def test_start_step_resumes_bit_for_bit(flip):
    source = numbered(23)
    whole = take(batches(source, 5, seed=2, flip=flip), 20)
    for step in (1, 7, 19):
        rest = take(batches(source, 5, seed=2, flip=flip, start_step=step), 20 - step)
        np.testing.assert_array_equal(rest, whole[step:])


def test_flip_mirrors_left_to_right_and_is_off_by_default():
    plain = take(batches(numbered(20), 10, seed=0), 10)
    flipped = take(batches(numbered(20), 10, seed=0, flip=True), 10)
    np.testing.assert_array_equal(numbers(plain), numbers(flipped))
    mirrored = flipped[..., 0, -1, 0] == 1.0
    assert 0 < mirrored.sum() < mirrored.size
    np.testing.assert_array_equal(flipped[mirrored], plain[mirrored][..., ::-1, :])
    np.testing.assert_array_equal(flipped[~mirrored], plain[~mirrored])


@pytest.mark.parametrize("flip", [False, True])
def test_shards_concatenate_to_the_global_batch(flip):
    source = numbered(30)
    whole = take(batches(source, 6, seed=1, flip=flip), 12)
    shards = [
        take(batches(source, 2, seed=1, flip=flip, shard_index=index, num_shards=3), 12)
        for index in range(3)
    ]
    np.testing.assert_array_equal(np.concatenate(shards, axis=1), whole)


def test_fewer_images_than_a_batch_repeat_with_a_warning():
    with pytest.warns(UserWarning, match="3 images, fewer than the batch size 8"):
        dataset = batches(numbered(3), 8, seed=0)
    assert np.bincount(numbers(take(dataset, 1)[0])).tolist() in (
        [3, 3, 2],
        [3, 2, 3],
        [2, 3, 3],
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_size": 0},
        {"seed": -1},
        {"start_step": -1},
        {"shard_index": 2, "num_shards": 2},
        {"shard_index": -1},
    ],
)
def test_arguments_out_of_range(arguments):
    with pytest.raises(UserError, match=next(iter(arguments))):
        batches(numbered(9), **{"batch_size": 2, "seed": 0, **arguments})


@pytest.mark.slow
def test_a_process_with_a_running_pipeline_exits_cleanly():
    # It would hang if prefetching threads called Python during shutdown.
    program = """
import lada_tf.data
source = lada_tf.data.open_source("portraits", 32)
iterator = iter(lada_tf.data.batches(source, 64, seed=0))
next(iterator)
"""
    finished = subprocess.run([sys.executable, "-c", program], timeout=120)
    assert finished.returncode == 0
