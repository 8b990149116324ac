import errno
import json
import os
import threading

import numpy as np
import pytest

from lada_tf.data import open_source
from lada_tf.data.loading import BadImages
from lada_tf.data.opening import open_reader
from lada_tf.data.prepare import prepare_records
from lada_tf.data.records import verify
from lada_tf.errors import UserError
from lada_tf.io import try_lock


def prepare(
    directory, output, size=12, resize="plain", on_bad_image="error", per_shard=8
):
    return prepare_records(
        open_reader(str(directory)),
        str(output),
        size,
        resize,
        BadImages(on_bad_image),
        per_shard,
    )


@pytest.fixture
def directory(image_directory):
    return image_directory[0]


@pytest.fixture
def out(tmp_path):
    """The path of records that do not exist yet."""
    return tmp_path / "out"


def contents(directory) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_records_have_the_fingerprint_of_their_source(directory, out):
    prepare(directory, out, size=6, resize="lsun")
    records = open_source(str(out), 6)
    decoded = open_source(str(directory), 6, resize="lsun")
    assert records.fingerprint == decoded.fingerprint
    every = np.arange(50)
    np.testing.assert_array_equal(records.images(every), decoded.images(every))


def test_manifest(directory, out):
    (directory / "13.png").write_bytes(b"")
    prepare(directory, out, on_bad_image="skip")
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["count"] == 49
    assert manifest["images_in_source"] == 50
    assert manifest["resize"] == "plain"
    assert [shard["count"] for shard in manifest["shards"]] == [8, 7, 8, 8, 8, 8, 2]
    (bad,) = manifest["shards"][1]["bad_images"]
    assert bad == {"name": str(directory / "13.png"), "reason": "the file is empty"}
    assert verify(str(out)) == 49


def test_finished_records_are_not_written_again(directory, out):
    prepare(directory, out)
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    prepare(directory, out)
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


@pytest.mark.parametrize("finished", [True, False])
def test_records_with_other_settings_are_not_overwritten(directory, out, finished):
    if finished:
        prepare(directory, out)
    else:
        (directory / "30.png").write_bytes(b"")
        with pytest.raises(UserError, match=r"30\.png"):
            prepare(directory, out)
    before = contents(out)
    for change in ({"size": 6}, {"resize": "lsun"}, {"per_shard": 9}):
        with pytest.raises(UserError, match=f"output={out}: .*settings"):
            prepare(directory, out, **change)
    (directory / "0.png").rename(directory / "other.png")
    with pytest.raises(UserError, match=f"output={out}: .*source is"):
        prepare(directory, out)
    assert contents(out) == before


def test_a_directory_with_other_files_is_rejected(directory, out):
    out.mkdir()
    (out / "thesis.doc").write_text("precious")
    with pytest.raises(UserError, match=r"thesis\.doc"):
        prepare(directory, out)
    assert contents(out) == {"thesis.doc": b"precious"}
    with pytest.raises(UserError, match=f"output={out}/thesis.doc"):
        prepare(directory, out / "thesis.doc")


def test_two_runs_do_not_write_to_the_same_directory(directory, out):
    out.mkdir()
    with (out / "lock").open("a") as lock:
        assert try_lock(lock)
        with pytest.raises(UserError, match=f"output={out}: another process"):
            prepare(directory, out)
    prepare(directory, out)
    with (out / "lock").open("a") as lock:
        assert try_lock(lock)
        prepare(directory, out)  # finished records need no lock


def test_a_second_start_waits_for_the_records_of_the_first(
    image_directory, tmp_path, caplog
):
    directory, pixels = image_directory
    arguments = {"memory_limit": 0, "cache_dir": str(tmp_path / "cache")}
    fingerprint = open_source(str(directory), 12).fingerprint
    records = tmp_path / "cache" / fingerprint.replace(":", "-")
    records.mkdir(parents=True)
    lock = (records / "lock").open("a")
    assert try_lock(lock)
    release = threading.Timer(0.2, lock.close)
    release.start()
    source = open_source(str(directory), 12, **arguments)
    assert not release.is_alive()
    assert caplog.text.count("waiting for another process") == 1
    np.testing.assert_array_equal(source.images(np.arange(50)), pixels)


def test_a_file_system_without_locks(directory, out, monkeypatch):
    def flock(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("portalocker.portalocker.LOCKER", flock)
    out.mkdir()
    # It can belong to a process that is writing it now.
    (out / ".images-00000-of-00007.9.partial").write_text("half")
    prepare(directory, out)
    assert verify(str(out)) == 50
    assert (out / ".images-00000-of-00007.9.partial").exists()


def test_an_empty_file_system_is_an_empty_directory(directory, out):
    (out / "lost+found").mkdir(parents=True)
    (out / ".DS_Store").write_text("")
    before = out.stat().st_ino
    prepare(directory, out)
    assert verify(str(out)) == 50
    assert out.stat().st_ino == before


@pytest.mark.parametrize("name", ["manifest.json", "progress.json"])
@pytest.mark.parametrize("content", ["[]", "{", "null", '{"format": []}'])
def test_damaged_state_is_a_user_error(directory, out, name, content):
    out.mkdir()
    (out / name).write_text(content)
    with pytest.raises(UserError, match=r"\.json|settings"):
        prepare(directory, out)


def test_an_interrupted_run_resumes_with_skip(directory, out, tmp_path):
    good = (directory / "20.png").read_bytes()
    (directory / "20.png").write_bytes(bytes(len(good)))
    with pytest.raises(UserError, match=r"20\.png.*on_bad_image=skip"):
        prepare(directory, out)
    resumed = prepare(directory, out, on_bad_image="skip")
    assert resumed == prepare(directory, tmp_path / "again", on_bad_image="skip")
    assert contents(out) == contents(tmp_path / "again")


def test_images_above_the_memory_limit_are_cached_on_disk(image_directory, tmp_path):
    directory, pixels = image_directory
    cache = tmp_path / "cache"
    arguments = {"cache_dir": str(cache), "memory_limit": pixels.nbytes - 1}
    source = open_source(str(directory), 12, **arguments)
    every = np.arange(50)
    np.testing.assert_array_equal(source.images(every), pixels)
    (records,) = cache.glob("folder-*")
    times = {path: path.stat().st_mtime_ns for path in records.iterdir()}
    again = open_source(str(directory), 12, **arguments)
    assert {path: path.stat().st_mtime_ns for path in records.iterdir()} == times

    in_memory = open_source(str(directory), 12, memory_limit=pixels.nbytes)
    fingerprints = {s.fingerprint for s in (source, again, in_memory)}
    assert len(fingerprints) == 1


def test_the_disk_cache_respects_on_bad_image(directory, tmp_path, caplog):
    (directory / "3.png").write_bytes(b"")
    arguments = {"cache_dir": str(tmp_path / "cache"), "memory_limit": 0}
    for _ in range(2):
        caplog.clear()
        source = open_source(str(directory), 12, on_bad_image="skip", **arguments)
        assert len(source) == 49
        assert "skipped 1 of 50 images" in caplog.text
    with pytest.raises(UserError, match=r"3\.png"):
        open_source(str(directory), 12, **arguments)


def test_leftovers_of_a_killed_run_are_removed(directory, out):
    prepare(directory, out)
    finished = contents(out)
    (out / "manifest.json").rename(out / "progress.json")  # killed before this rename
    for name in (".progress.json.9.partial", ".images-00003-of-00007.9.partial"):
        (out / name).write_text("torn")
    prepare(directory, out)
    assert contents(out) == finished


def test_a_full_disk_is_one_line_and_the_run_can_be_repeated(directory, out):
    resource = pytest.importorskip("resource", reason="Windows cannot limit files")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    try:
        with pytest.raises(UserError, match=f"^output={out}: File too large"):
            prepare(directory, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(out.glob(".*"))
    prepare(directory, out)
    assert verify(str(out)) == 50


def test_a_damaged_shard_of_an_interrupted_run_is_written_again(directory, out):
    prepare(directory, out)
    finished = contents(out)
    (out / "manifest.json").rename(out / "progress.json")
    shard = out / "images-00003-of-00007.tfrecord"
    shard.write_bytes(bytes(shard.stat().st_size))
    prepare(directory, out)
    assert contents(out) == finished


@pytest.mark.parametrize(
    "shards", [3, [3], [{"file": "images-00000-of-00007.tfrecord"}]]
)
@pytest.mark.parametrize("name", ["manifest.json", "progress.json"])
def test_damaged_entries_of_shards_are_a_user_error(directory, out, name, shards):
    prepare(directory, out)
    manifest = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").rename(out / name)
    (out / name).write_text(json.dumps(manifest | {"shards": shards}))
    with pytest.raises(UserError, match=f"{name}: is damaged"):
        prepare(directory, out)


def test_a_fifo_as_lock_does_not_block(directory, out):
    out.mkdir()
    os.mkfifo(out / "lock")
    with pytest.raises(UserError, match="cannot write to the directory"):
        prepare(directory, out)
