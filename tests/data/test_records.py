import json

import numpy as np
import pytest
import tensorflow as tf

from lada_tf.data import batches, open_source
from lada_tf.data.load import BadImages
from lada_tf.data.prepare import prepare_records
from lada_tf.data.readers import open_reader
from lada_tf.data.records import verify
from lada_tf.errors import UserError


def prepare(folder, output, size=12, resize="plain", policy="error", per_shard=8):
    return prepare_records(
        open_reader(str(folder)),
        str(output),
        size,
        resize,
        BadImages(policy),
        per_shard,
    )


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_records_are_the_images_at_random_access(image_folder, tmp_path):
    folder, pixels = image_folder
    prepare(folder, tmp_path / "out")
    source = open_source(str(tmp_path / "out"), 12)
    assert len(source) == 50
    indices = np.array([49, 0, 7, 8, 7, 31])
    np.testing.assert_array_equal(source.images(indices), pixels[indices])


def test_records_have_the_fingerprint_of_what_they_were_made_from(
    image_folder, tmp_path
):
    folder, _ = image_folder
    prepare(folder, tmp_path / "out", size=6, resize="lsun")
    records = open_source(str(tmp_path / "out"), 6)
    decoded = open_source(str(folder), 6, resize="lsun")
    assert records.fingerprint == decoded.fingerprint
    every = np.arange(50)
    np.testing.assert_array_equal(records.images(every), decoded.images(every))


def test_tensorflow_reads_the_shards(image_folder, tmp_path):
    folder, pixels = image_folder
    prepare(folder, tmp_path / "out")
    shards = sorted(str(path) for path in (tmp_path / "out").glob("*.tfrecord"))
    records = tf.data.TFRecordDataset(shards)  # checks the checksum of every record
    images = [np.frombuffer(record, np.uint8) for record in records.as_numpy_iterator()]
    np.testing.assert_array_equal(np.stack(images).reshape(pixels.shape), pixels)


def test_manifest(image_folder, tmp_path):
    folder, _ = image_folder
    (folder / "13.png").write_bytes(b"")
    prepare(folder, tmp_path / "out", policy="skip")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["count"] == 49
    assert manifest["images_in_source"] == 50
    assert manifest["resize"] == "plain"
    assert [shard["count"] for shard in manifest["shards"]] == [8, 7, 8, 8, 8, 8, 2]
    (bad,) = manifest["shards"][1]["bad_images"]
    assert bad == {"name": str(folder / "13.png"), "reason": "the file is empty"}
    assert verify(str(tmp_path / "out")) == 49


def test_finished_records_are_left_alone(image_folder, tmp_path):
    folder, _ = image_folder
    out = tmp_path / "out"
    prepare(folder, out)
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    prepare(folder, out)
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


@pytest.mark.parametrize("finished", [True, False])
def test_other_records_are_never_overwritten(image_folder, tmp_path, finished):
    folder, _ = image_folder
    out = tmp_path / "out"
    if finished:
        prepare(folder, out)
    else:
        (folder / "30.png").write_bytes(b"")
        with pytest.raises(UserError, match=r"30\.png"):
            prepare(folder, out)
    before = contents(out)
    for change in ({"size": 6}, {"resize": "lsun"}, {"per_shard": 9}):
        with pytest.raises(UserError, match="made otherwise"):
            prepare(folder, out, **change)
    (folder / "0.png").rename(folder / "other.png")
    with pytest.raises(UserError, match=r"made otherwise \(source is"):
        prepare(folder, out)
    assert contents(out) == before


def test_a_folder_of_something_else_is_refused(image_folder, tmp_path):
    folder, _ = image_folder
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.doc").write_text("precious")
    with pytest.raises(UserError, match=r"thesis\.doc"):
        prepare(folder, out)
    assert contents(out) == {"thesis.doc": b"precious"}
    with pytest.raises(UserError, match="cannot be made"):
        prepare(folder, out / "thesis.doc")


def test_after_an_error_it_goes_on_with_skip(image_folder, tmp_path):
    folder, _ = image_folder
    good = (folder / "20.png").read_bytes()
    (folder / "20.png").write_bytes(bytes(len(good)))
    with pytest.raises(UserError, match=r"20\.png.*--on_bad_image=skip"):
        prepare(folder, tmp_path / "out")
    resumed = prepare(folder, tmp_path / "out", policy="skip")
    assert resumed == prepare(folder, tmp_path / "again", policy="skip")
    assert contents(tmp_path / "out") == contents(tmp_path / "again")


def test_damaged_records_are_found(image_folder, tmp_path):
    folder, _ = image_folder
    out = tmp_path / "out"
    prepare(folder, out)
    shard = out / "images-00002-of-00007.tfrecord"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    with pytest.raises(UserError, match=r"images-00002.*checksum"):
        verify(str(out))
    shard.write_bytes(whole[:-1])
    with pytest.raises(UserError, match=r"images-00002.*bytes"):
        open_source(str(out), 12)
    shard.unlink()
    with pytest.raises(UserError, match=r"images-00002.*missing"):
        open_source(str(out), 12)
    (out / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="manifest"):
        open_source(str(out), 12)


def test_records_of_another_size_or_recipe_are_refused(image_folder, tmp_path):
    folder, _ = image_folder
    prepare(folder, tmp_path / "out")
    with pytest.raises(UserError, match="12x12 by the resize plain, not 32x32"):
        open_source(str(tmp_path / "out"), 32)
    with pytest.raises(UserError, match="by lsun"):
        open_source(str(tmp_path / "out"), 12, resize="lsun")


def test_what_exceeds_the_memory_limit_is_cached_on_disk(image_folder, tmp_path):
    folder, pixels = image_folder
    cache = tmp_path / "cache"
    arguments = {"cache_dir": str(cache), "memory_limit": pixels.nbytes - 1}
    source = open_source(str(folder), 12, **arguments)
    every = np.arange(50)
    np.testing.assert_array_equal(source.images(every), pixels)
    (records,) = cache.iterdir()
    times = {path: path.stat().st_mtime_ns for path in records.iterdir()}
    again = open_source(str(folder), 12, **arguments)
    assert {path: path.stat().st_mtime_ns for path in records.iterdir()} == times

    in_memory = open_source(str(folder), 12, memory_limit=pixels.nbytes)
    fingerprints = {s.fingerprint for s in (source, again, in_memory)}
    assert len(fingerprints) == 1


def test_the_disk_cache_keeps_the_policy_on_bad_images(image_folder, tmp_path, caplog):
    folder, _ = image_folder
    (folder / "3.png").write_bytes(b"")
    arguments = {"cache_dir": str(tmp_path / "cache"), "memory_limit": 0}
    for _ in range(2):
        caplog.clear()
        source = open_source(str(folder), 12, on_bad_image="skip", **arguments)
        assert len(source) == 49
        assert "left out 1 bad images of 50" in caplog.text
    with pytest.raises(UserError, match=r"3\.png"):
        open_source(str(folder), 12, **arguments)


def test_records_and_memory_give_the_same_batches(image_folder, tmp_path):
    folder, _ = image_folder
    prepare(folder, tmp_path / "out")
    first, second = (
        batches(open_source(str(path), 12, subset=0.8), 7, seed=1, flip=True).take(20)
        for path in (folder, tmp_path / "out")
    )
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
