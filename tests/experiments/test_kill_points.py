"""Commands are killed at their file operations, and started again."""

import numpy as np
import pytest

from experiments.kill_points import TRAIN, check

pytestmark = pytest.mark.slow


@pytest.fixture
def images(tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8))
    return path


def test_killed_training_is_bit_identical(images, tmp_path):
    short = ("--total_images=8", "--checkpoint_images=4", "--keep_checkpoints=1")
    arguments = (*TRAIN, *short, f"--data={images}", "--run_dir={}/run")
    assert check(tmp_path / "train", "lada_tf.train", arguments, 3) == (3, 3)


def test_killed_prepare_data_is_bit_identical(images, tmp_path):
    sizes = ("--image_size=16", "--images_per_shard=4")
    arguments = (f"--source={images}", *sizes, "--output={}/records")
    assert check(tmp_path / "data", "lada_tf.prepare_data", arguments, 8) == (8, 8)
