import os
import shutil
import struct
import zipfile

import lmdb
import numpy as np
import pytest
from PIL import Image

from lada_tf.data import open_source
from lada_tf.data.opening import open_reader
from lada_tf.data.readers import FolderReader, ZipReader
from lada_tf.errors import UserError
from tests.data.images import encode, picture


@pytest.fixture
def bedroom(tmp_path):
    """An LMDB of 40 lossless WebP images of 20x16 with keys like LSUN's, and pixels."""
    pixels = np.random.default_rng(3).integers(0, 256, (40, 16, 20, 3), np.uint8)
    keys = sorted(f"{number * 7919:040x}".encode() for number in range(40))
    path = tmp_path / "bedroom_train_lmdb"
    environment = lmdb.open(str(path), map_size=10**7)
    with environment.begin(write=True) as transaction:
        for key, image in zip(keys, pixels, strict=True):
            webp = encode(Image.fromarray(image), "WEBP", lossless=True)
            transaction.put(key, webp)
    environment.close()
    return path, pixels


def test_lmdb_is_read_in_order_of_keys(bedroom):
    path, pixels = bedroom
    source = open_source(str(path), 16, resize="lsun")
    np.testing.assert_array_equal(source.images(np.arange(40)), pixels[:, :, 2:18])


def test_any_range_of_an_lmdb_can_be_read(bedroom):
    path, _ = bedroom
    reader = open_reader(str(path))
    whole = [(item.name, item.load()) for item in reader.items(0, 40)]
    assert len(whole) == 40
    for start, stop in ((0, 3), (7, 9), (8, 8), (15, 40), (39, 40)):
        part = [(item.name, item.load()) for item in reader.items(start, stop)]
        assert part == whole[start:stop]


def test_identity_of_an_lmdb_does_not_depend_on_its_path(bedroom, tmp_path):
    path, _ = bedroom
    shutil.copytree(path, tmp_path / "moved")
    identities = {open_reader(str(p)).identity for p in (path, tmp_path / "moved")}
    assert len(identities) == 1


def test_a_damaged_lmdb_is_a_user_error(tmp_path):
    (tmp_path / "data.mdb").write_bytes(b"no database")
    with pytest.raises(UserError, match=f"data={tmp_path}.*LMDB"):
        open_source(str(tmp_path), 16)


def test_identity_of_an_lmdb_covers_the_values(bedroom):
    path, _ = bedroom
    before = open_reader(str(path)).identity
    environment = lmdb.open(str(path), map_size=10**7)
    with environment.begin(write=True) as transaction:
        key, _ = next(iter(transaction.cursor()))
        transaction.put(key, encode(picture(), "PNG"))
    environment.close()
    assert open_reader(str(path)).identity != before


@pytest.fixture
def settled(monkeypatch):
    """Trust the times of files at once."""
    monkeypatch.setattr("lada_tf.io._CLOCK_RESOLUTION_NS", 0)


def identity(path, cache_dir) -> str:
    return open_reader(str(path), cache_dir=str(cache_dir)).identity


def test_identity_covers_the_content(image_directory, tmp_path, settled):
    directory, _ = image_directory
    before = identity(directory, tmp_path / "cache")
    for number in (3, 4):  # same size and time, in place and by a new file
        path = directory / f"{number}.png"
        stat, content = path.stat(), path.read_bytes()
        if number == 4:
            path.unlink()
        path.write_bytes(content[:-1] + b"?")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        after = identity(directory, tmp_path / "cache")
        assert after == identity(directory, tmp_path / "new") != before
        before = after


def test_unchanged_files_are_read_once(image_directory, tmp_path, monkeypatch, settled):
    directory, _ = image_directory
    before = identity(directory, tmp_path)
    monkeypatch.setattr("lada_tf.data.readers._digest_item", None)
    assert identity(directory, tmp_path) == before


def test_times_of_the_last_seconds_are_not_trusted(image_directory, tmp_path):
    identity(image_directory[0], tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_an_unusable_cache_directory_is_ignored(image_directory, tmp_path, settled):
    (tmp_path / "file").write_text("")
    assert identity(image_directory[0], tmp_path / "file" / "cache")


def folder(root, *paths: str):
    """Make a directory. A path is of an image, or `link -> target`."""
    for path in paths:
        name, _, target = path.partition(" -> ")
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if target:
            (root / name).symlink_to(target)
        else:
            picture(len(name)).save(root / name, "PNG")
    return FolderReader(str(root))


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["x.jpg/1.png", "2.png"], ["2.png", "x.jpg/1.png"]),
        (["a/1.png", "b -> a"], ["a/1.png"]),
        (["b -> z", "z/1.png", "c -> z"], ["z/1.png"]),
        (["z/1.png", "c -> z", "b -> z"], ["z/1.png"]),
        (["1.png", "up -> ..", "root -> /", "self -> ."], ["1.png"]),
        (["1.png", "dead.png -> /nowhere.png", "dead -> /nowhere"], None),
        (["1.png", ".hidden/2.png", ".3.png", "lost+found/4.png"], ["1.png"]),
        (["1.png", "loop.png -> loop.png"], ["1.png", "loop.png"]),
    ],
)
def test_names_in_a_directory(tmp_path, paths, names):
    reader = folder(tmp_path / "data", *paths)
    assert reader.names == (names or ["1.png", "dead.png"])
    assert len(open_source(str(tmp_path / "data"), 24, on_bad_image="skip")) == sum(
        (tmp_path / "data" / name).exists() for name in reader.names
    )


def test_a_linked_directory_is_the_same_as_a_real_one(tmp_path):
    real = folder(tmp_path / "real", "part/1.png", "part/sub/2.png", "q/3.png")
    (tmp_path / "linked").mkdir()
    for name in ("part", "q"):
        (tmp_path / "linked" / name).symlink_to(tmp_path / "real" / name)
    linked = FolderReader(str(tmp_path / "linked"))
    assert linked.names == real.names
    assert linked.identity == real.identity


def test_a_directory_and_a_zip_of_it_have_the_same_images(tmp_path):
    paths = [
        "1.png",
        "a/2.PNG",
        ".h/3.png",
        "a/.4.png",
        "__MACOSX/5.png",
        "b.png/6.jpg",
    ]
    paths += ["run/flags.cfg", "run/checkpoints/c", "run/samples/7.png"]
    paths += ["a/run/flags.cfg", "a/run/checkpoints/c", "a/run/samples/8.png"]
    paths += ["flags.cfg", "no_run/flags.cfg", "no_run/9.png"]
    reader = folder(tmp_path / "data", *paths)
    archive = shutil.make_archive(str(tmp_path / "data"), "zip", tmp_path / "data")
    expected = ["1.png", "a/2.PNG", "b.png/6.jpg", "no_run/9.png"]
    assert reader.names == expected
    names = [item.name for item in ZipReader(archive).items(0, 99)]
    assert names == [f"{archive}:{name}" for name in expected]


def damage(content: bytes, how: str) -> bytes:
    start = content.rfind(b"PK\x01\x02")  # of the directory
    if how == "name":  # marked as UTF-8, but it is not
        return content.replace("é".encode(), b"\xe9\xe9")
    if how == "version":
        return content[: start + 6] + struct.pack("<H", 90) + content[start + 8 :]
    if how == "truncated":
        return content[:-30]
    return content[:start] + b"\xff" * 40 + content[start + 40 :]


@pytest.mark.parametrize("how", ["name", "version", "truncated", "directory"])
@pytest.mark.parametrize("ending", ["zip", "npz"])
def test_a_damaged_zip_is_a_user_error(tmp_path, how, ending):
    path = tmp_path / f"a.{ending}"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("é.png", encode(picture(), "PNG"))
    path.write_bytes(damage(path.read_bytes(), how))
    with pytest.raises(UserError, match=f"data={path}: cannot read") as caught:
        open_source(str(path), 24)
    assert "\n" not in str(caught.value)
