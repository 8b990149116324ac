"""Checkpoints: atomic, verified, and complete."""

import errno

import keras
import numpy as np
import pytest

from lada_tf.errors import UserError
from lada_tf.models import LadaGAN
from lada_tf.training.checkpoints import Checkpoints
from tests.models.test_lada_gan import SMALL, weights


def make(seed=0):
    keras.utils.set_random_seed(seed)
    gan = LadaGAN.from_preset("tiny", **SMALL)
    gan.compile(run_eagerly=True)
    return gan


def step(gan):
    images = keras.random.uniform((4, 32, 32, 3), -1, 1, seed=gan.steps)
    return {name: float(value) for name, value in gan.train_step(images).items()}


@pytest.mark.slow
def test_resumed_training_is_bit_identical(tmp_path):
    gan = make()
    step(gan)
    path = Checkpoints(tmp_path, gan).save()
    assert path.name == "images-0000000004"
    last = [step(gan), step(gan)][-1]

    other = make(seed=1)
    assert Checkpoints(tmp_path, other).restore() == path
    assert [step(other), step(other)][-1] == last  # running means included
    for a, b in zip(weights(gan), weights(other), strict=True):
        np.testing.assert_array_equal(a, b)


def damage_truncate(file):
    file.write_bytes(file.read_bytes()[:-100])


def damage_flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def damage_delete(file):
    file.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("damage", [damage_truncate, damage_flip, damage_delete])
@pytest.mark.parametrize("name", ["state.data-00000-of-00001", "manifest.json"])
def test_a_damaged_checkpoint_is_skipped(tmp_path, damage, name, caplog):
    gan = make()
    checkpoints = Checkpoints(tmp_path, gan)
    whole = checkpoints.save()
    gan.image_counter.assign(8)
    newest = checkpoints.save()
    damage(newest / name)
    assert checkpoints.restore() == whole
    assert gan.images_seen == 0
    assert "Trying the previous checkpoint" in caplog.text
    damage(whole / name)
    with pytest.raises(UserError, match="all checkpoints are damaged"):
        checkpoints.restore()


def test_old_and_partial_checkpoints_are_deleted(tmp_path):
    gan = make()
    checkpoints = Checkpoints(tmp_path, gan, keep=2)
    assert checkpoints.restore() is None
    (tmp_path / ".images-0000000004.partial").mkdir()
    checkpoints.remove_leftovers()
    for images in (4, 8, 12, 12):
        gan.image_counter.assign(images)
        checkpoints.save()
    assert checkpoints.restore().name == "images-0000000012"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "images-0000000008",
        "images-0000000012",
    ]


def test_a_failed_write_keeps_the_previous_checkpoint(tmp_path, monkeypatch):
    gan = make()
    checkpoints = Checkpoints(tmp_path, gan)
    whole = checkpoints.save()
    gan.image_counter.assign(8)

    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("lada_tf.training.checkpoints.write_json", full)
    with pytest.raises(UserError, match="No space left on device"):
        checkpoints.save()
    assert list(tmp_path.iterdir()) == [whole]
    assert checkpoints.restore() == whole


@pytest.mark.slow
def test_the_best_checkpoint_is_kept(tmp_path):
    gan = make()
    checkpoints = Checkpoints(tmp_path, gan, keep=1)
    assert checkpoints.best_distance() == float("inf")
    assert checkpoints.restore(best=True) is None
    for images, distance in ((4, 9.5), (8, 7.25), (12, None)):
        gan.image_counter.assign(images)
        if distance:
            checkpoints.save_best(distance)
        checkpoints.save()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "best-0000000008",
        "images-0000000012",
    ]
    assert checkpoints.best_distance() == 7.25
    checkpoints.restore(best=True)
    assert gan.images_seen == 8


def test_a_best_checkpoint_after_the_restored_one_is_deleted(tmp_path):
    """A run that resumes at 4 images will reach 8 images again."""
    gan = make()
    checkpoints = Checkpoints(tmp_path, gan)
    gan.image_counter.assign(4)
    checkpoints.save()
    gan.image_counter.assign(8)
    checkpoints.save_best(3.0)
    checkpoints.restore()
    checkpoints.remove_leftovers()
    assert checkpoints.best_distance() == float("inf")
