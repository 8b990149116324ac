"""Checkpoints: atomic, verified, and complete."""

import errno
import json
import os
import shutil
import types
from pathlib import Path

import keras
import numpy as np
import pytest

from lada_tf.errors import UserError
from lada_tf.models import LadaGAN
from lada_tf.training.checkpoints import Checkpoints, read_variables
from tests.small import SMALL


def make():
    gan = LadaGAN.from_preset("tiny", **SMALL)
    gan.compile(run_eagerly=True)
    return gan


def truncate(file):
    file.write_bytes(file.read_bytes()[:-100])


def flip_a_bit(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [truncate, flip_a_bit, Path.unlink])
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


class FakeGan:
    """Has few variables, which are saved in milliseconds."""

    metrics = ()
    steps = 0

    def __init__(self, size=3):
        self.generator, self.ema_generator, self.discriminator = (
            types.SimpleNamespace(weights=[keras.Variable(np.ones(size, np.float32))])
            for _ in range(3)
        )
        self.g_optimizer = self.d_optimizer = types.SimpleNamespace(variables=[])
        self.step_counter, self.image_counter = keras.Variable(0), keras.Variable(0)

    @property
    def images_seen(self):
        return int(self.image_counter)


@pytest.fixture
def small():
    return FakeGan()


@pytest.fixture
def save(small, tmp_path):
    """Save at a number of images, and return the names of all checkpoints after it."""

    def save(images, keep=1, rollbacks=0):
        small.image_counter.assign(images)
        checkpoints = Checkpoints(tmp_path, small, keep)
        checkpoints.rollbacks = rollbacks
        checkpoints.save()
        return names(tmp_path)

    return save


def names(path):
    return sorted(p.name.replace("images-00000000", "") for p in path.iterdir())


def weight(gan):
    return gan.generator.weights[0]


@pytest.mark.parametrize("images", [12, 99])  # older and newer than the next one
def test_damaged_checkpoints_do_not_count(images, save, small, tmp_path):
    save(8)
    save(images, keep=2)
    truncate(tmp_path / f"images-{images:010d}" / "manifest.json")
    assert "08" in save(16, keep=2)
    assert {"16", "20"} <= set(save(20, keep=2))
    assert "08" not in names(tmp_path)
    assert Checkpoints(tmp_path, small).restore().name == "images-0000000020"


FOREIGN = (
    "images-good",
    "images-12",
    "images-000000000x",
    "images-0000000001.bak",
    "images-\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661",
    "best-old",
    "best-",
    "Images-0000000099",
)


@pytest.mark.parametrize("copy", [*FOREIGN, "images-0000000099", "best-0000000099"])
def test_copies_under_other_names_are_no_checkpoints(copy, save, small, tmp_path):
    save(4)
    shutil.copytree(tmp_path / "images-0000000004", tmp_path / copy)
    checkpoints = Checkpoints(tmp_path, small, keep=1)
    assert checkpoints.best_distance() == float("inf")
    assert checkpoints.restore().name == "images-0000000004"
    checkpoints.remove_leftovers()
    assert {"08", copy.replace("images-00000000", "")} >= set(save(8))
    assert Checkpoints(tmp_path, small).restore().name == "images-0000000008"


@pytest.mark.parametrize(
    "name", ["images-0000000099", "best-0000000001", ".partial-99", ".best-1.partial"]
)
@pytest.mark.parametrize("kind", ["file", "link", "pipe"])
def test_files_are_no_checkpoints(kind, name, save, small, tmp_path, caplog):
    save(4)
    other = tmp_path / name
    if kind == "file":
        other.touch()
    elif kind == "pipe":
        os.mkfifo(other)
    else:
        other.symlink_to(tmp_path / "images-0000000004")
    checkpoints = Checkpoints(tmp_path, small)
    assert checkpoints.best_distance() == float("inf")
    assert checkpoints.restore().name == "images-0000000004"
    assert (name in caplog.text) == (name[0] != ".")
    checkpoints.remove_leftovers()
    checkpoints.save_best(1.0)
    assert os.path.lexists(other)


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": {}},
        {"sha256": None},
        {"sha256": {"state.index": 1}},
        {"sha256": ["state.index"]},
        {"images": "8"},
        {"rollbacks": None},
        {"distance": "near"},
        [],
    ],
)
def test_a_manifest_of_wrong_types_is_damage(change, save, small, tmp_path):
    save(4)
    save(8, keep=2)
    file = tmp_path / "images-0000000008" / "manifest.json"
    manifest = json.loads(file.read_text())
    file.write_text(json.dumps(manifest | change if change else change))
    assert Checkpoints(tmp_path, small).restore().name == "images-0000000004"


def test_an_identical_checkpoint_is_not_written_again(save, small, tmp_path):
    save(4)
    before = (tmp_path / "images-0000000004").stat().st_ino
    save(4)
    assert (tmp_path / "images-0000000004").stat().st_ino == before
    value = np.array(weight(small))
    weight(small).assign(value + 1)
    save(4)
    weight(small).assign(value)
    Checkpoints(tmp_path, small).restore()
    np.testing.assert_array_equal(weight(small), value + 1)


class Killed(BaseException):
    """Stands for SIGKILL: no handler runs."""


@pytest.mark.parametrize("point", range(1, 5))
def test_a_kill_during_a_replacement_loses_nothing(
    point, save, small, tmp_path, monkeypatch
):
    """All operations after it do nothing, as if the process was gone."""
    save(4)
    value = np.array(weight(small))
    weight(small).assign(value + 1)
    calls = []

    def counted(function):
        def call(*args, **kwargs):
            calls.append(function)
            if len(calls) >= point:
                raise Killed
            return function(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for module, name in ((os, "replace"), (shutil, "rmtree"), (os, "rmdir")):
            patch.setattr(module, name, counted(getattr(module, name)))
        with pytest.raises(Killed):
            save(4)
    checkpoints = Checkpoints(tmp_path, small, keep=1)
    path = checkpoints.restore()
    assert path is not None
    restored = weight(small).numpy()
    assert np.array_equal(restored, value) or np.array_equal(restored, value + 1)
    checkpoints.keep_restored(path)
    checkpoints.remove_leftovers()
    assert names(tmp_path) == ["04"]


def test_rollbacks_without_progress_go_further_back(save, small, tmp_path):
    for images in (4, 8, 12):
        save(images, keep=3)
    checkpoints = Checkpoints(tmp_path, small, keep=3)
    checkpoints.restore()
    found = [checkpoints.roll_back().name[-2:] for _ in range(4)]
    assert found == ["12", "08", "04", "04"]
    small.image_counter.assign(6)
    checkpoints.save()  # the steps up to 8 and 12 images are undone
    assert names(tmp_path) == ["04", "06"]
    assert checkpoints.rollbacks == 4
    assert [checkpoints.roll_back().name[-2:] for _ in range(2)] == ["06", "04"]


def test_a_run_that_resumes_before_a_new_best_has_the_old_one(save, small, tmp_path):
    checkpoints = Checkpoints(tmp_path, small)
    for images, distance in ((4, 5.0), (8, 4.0)):
        small.image_counter.assign(images)
        checkpoints.save_best(distance, "fd")
        if images == 4:
            checkpoints.save()  # the process dies before it saves at 8 images
    resumed = Checkpoints(tmp_path, small)
    resumed.restore()
    resumed.save()
    resumed.remove_leftovers()
    assert resumed.best_distance("fd") == 5.0
    assert resumed.best_distance("kid") == float("inf")
    assert names(tmp_path) == ["04", "best-0000000004"]


def test_a_rollback_passes_over_weights_that_are_not_finite(save, small, tmp_path):
    save(4, keep=2)
    weight = small.ema_generator.weights[-1]
    before = weight.numpy()
    weight.assign(np.full(3, np.nan))
    save(8, keep=2)
    checkpoints = Checkpoints(tmp_path, small)
    assert checkpoints.roll_back().name == "images-0000000004"
    np.testing.assert_array_equal(weight, before)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(value, save, small, tmp_path):
    variable = small.ema_generator.weights[-1]
    variable.assign(np.full(3, value))
    save(4)
    path = tmp_path / "images-0000000004"
    with pytest.raises(UserError, match="not finite"):
        Checkpoints(tmp_path, small).restore()
    with pytest.raises(UserError, match="not finite"):
        read_variables(path, "ema_generator", [variable])


def test_checkpoints_of_other_networks_are_one_line(save, small, tmp_path):
    save(4)
    other = FakeGan(size=4)
    with pytest.raises(UserError, match=r"images-0000000004: cannot be loaded"):
        Checkpoints(tmp_path, other).restore()
    variables = other.ema_generator.weights
    with pytest.raises(UserError, match=r"images-0000000004: cannot be loaded"):
        read_variables(tmp_path / "images-0000000004", "ema_generator", variables)


def test_a_run_directory_that_is_gone_is_not_created_again(save, small, tmp_path):
    with pytest.raises(UserError, match="cannot write"):
        Checkpoints(tmp_path / "gone" / "checkpoints", small).save()
    assert not (tmp_path / "gone").exists()
