import json
import os

import numpy as np
import pytest
import tensorflow as tf

from lada_tf.data import batches, open_source
from lada_tf.data.loading import BadImages
from lada_tf.data.opening import open_reader
from lada_tf.data.prepare import prepare_records
from lada_tf.data.records import verify
from lada_tf.errors import UserError


@pytest.fixture
def records(image_directory, tmp_path):
    """Records of `image_directory` in 7 shards, and the pixels."""
    directory, pixels = image_directory
    output = tmp_path / "records"
    reader = open_reader(str(directory))
    prepare_records(reader, str(output), 12, "plain", BadImages(), images_per_shard=8)
    return output, pixels


def test_records_have_random_access(records):
    output, pixels = records
    source = open_source(str(output), 12)
    assert len(source) == 50
    indices = np.array([49, 0, 7, 8, 7, 31])
    np.testing.assert_array_equal(source.images(indices), pixels[indices])


def test_tensorflow_reads_the_shards(records):
    output, pixels = records
    shards = sorted(str(path) for path in output.glob("*.tfrecord"))
    dataset = tf.data.TFRecordDataset(shards)  # compares the checksum of each record
    images = [np.frombuffer(record, np.uint8) for record in dataset.as_numpy_iterator()]
    np.testing.assert_array_equal(np.stack(images).reshape(pixels.shape), pixels)


def test_damage_is_detected(records):
    output, _ = records
    assert verify(str(output)) == 50
    shard = output / "images-00002-of-00007.tfrecord"
    content = shard.read_bytes()
    shard.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    with pytest.raises(UserError, match=r"images-00002.*checksum"):
        verify(str(output))
    shard.write_bytes(content[:-1])
    with pytest.raises(UserError, match=r"images-00002.*bytes"):
        open_source(str(output), 12)
    shard.unlink()
    with pytest.raises(UserError, match=r"images-00002.*missing"):
        open_source(str(output), 12)
    (output / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="manifest"):
        open_source(str(output), 12)


def test_a_directory_without_records_cannot_be_verified(tmp_path):
    with pytest.raises(UserError, match="no finished records"):
        verify(str(tmp_path))


def test_another_size_or_resize_is_rejected(records):
    output, _ = records
    with pytest.raises(UserError, match=r"image_size=32: .* image_size=12"):
        open_source(str(output), 32)
    with pytest.raises(UserError, match=r"resize=lsun: .* resize=plain"):
        open_source(str(output), 12, resize="lsun")


def test_records_and_memory_give_the_same_batches(records, image_directory):
    first, second = (
        batches(open_source(str(path), 12, subset=0.8), 7, seed=1, flip=True).take(20)
        for path in (records[0], image_directory[0])
    )
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "content", ['{"name": "holidays"}', '[{"file": "0.png"}]', "not JSON", "", "3"]
)
def test_a_manifest_of_another_program_is_ignored(image_directory, content):
    directory, _ = image_directory
    (directory / "manifest.json").write_text(content)
    assert len(open_source(str(directory), 12)) == 50


def shard_with(**changes):
    def change(manifest: dict) -> dict:
        first, *others = manifest["shards"]
        return {"shards": [first | changes, *others]}

    return change


@pytest.mark.parametrize(
    "change",
    [
        {"shards": [3]},
        {"shards": None},
        {"shards": []},
        {"shards": {}},
        {"count": "many"},
        {"count": 7},
        {"count": 50.0},
        {"image_size": None},
        {"image_size": float("nan")},
        {"image_size": True},
        {"image_size": 0},
        {"image_size": -12},
        {"image_size": 10**4000},
        {"resize": 1},
        {"format": "lada_tf records 0"},
        shard_with(file="../images-00000-of-00007.tfrecord"),
        shard_with(file="/etc/passwd"),
        shard_with(file="images-00001-of-00007.tfrecord"),  # twice
        shard_with(file="\0"),
        shard_with(file="\ud800"),
        shard_with(count=-8),
        shard_with(sha256=None),
        shard_with(bad_images=[3]),
        shard_with(bad_images=[{"name": "a"}]),
        shard_with(enlarged="all"),
    ],
)
def test_a_damaged_manifest_is_a_user_error(records, change):
    path = records[0] / "manifest.json"
    manifest = json.loads(path.read_text())
    change = change(manifest) if callable(change) else change
    path.write_text(json.dumps(manifest | change))
    with pytest.raises(UserError, match=r"manifest\.json"):
        open_source(str(records[0]), 12)


def overwrite(first, second):
    content = first.read_bytes()
    first.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])


def swap(first, second):
    contents = first.read_bytes(), second.read_bytes()
    second.write_bytes(contents[0])
    first.write_bytes(contents[1])


def replace_by_fifo(first, second):
    first.unlink()
    os.mkfifo(first)


def replace_by_directory(first, second):
    first.unlink()
    first.mkdir()


@pytest.mark.parametrize(
    "damage", [overwrite, swap, replace_by_fifo, replace_by_directory]
)
def test_changed_shards_are_found_when_opening(records, tmp_path, settled, damage):
    output, cache = records[0], str(tmp_path / "cache")
    open_source(str(output), 12, cache_dir=cache)
    damage(*sorted(output.glob("*.tfrecord"))[:2])
    for _ in range(2):
        with pytest.raises(UserError, match=r"images-0000[01]-of"):
            open_source(str(output), 12, cache_dir=cache)


def test_unchanged_shards_are_read_once(records, tmp_path, settled, monkeypatch):
    output, cache = records[0], str(tmp_path / "cache")
    open_source(str(output), 12, cache_dir=cache)
    monkeypatch.setattr("lada_tf.data.records.sha256", None)
    assert len(open_source(str(output), 12, cache_dir=cache)) == 50
