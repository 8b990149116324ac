import os
import shutil
import struct
import time
import tracemalloc
import zipfile

import pytest

from lada_tf.data import open_source
from lada_tf.data.opening import open_reader
from lada_tf.data.readers import FolderReader, ZipReader
from lada_tf.errors import UserError
from tests.data.images import encode, picture


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
    """Make a directory. Each path is an image or a link, `link -> target`."""
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


def bomb(path, how: str) -> None:
    """Write a zip of an image and of a member that unpacks to far more memory."""
    method = zipfile.ZIP_BZIP2 if how == "bzip2" else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("1.png", encode(picture(), "PNG"))
        archive.writestr("2.png", bytes(300 if how == "many" else 2**25))
    content = bytearray(path.read_bytes())
    size = content.rindex(b"PK\x01\x02") + 24
    if how == "lying":
        content[size : size + 4] = struct.pack("<I", 1000)
    if how == "many":  # together
        content[size : size + 4] = struct.pack("<I", 2**31)
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["large", "lying", "many", "bzip2"])
def test_a_zip_bomb_needs_little_memory(tmp_path, how, monkeypatch):
    monkeypatch.setattr("lada_tf.io._FREE_BYTES", 2**24)
    path = tmp_path / "a.zip"
    bomb(path, how)
    tracemalloc.start()
    if how == "lying":  # found when the member ends too late
        assert len(open_source(str(path), 24, on_bad_image="skip")) == 1
    else:
        with pytest.raises(UserError, match=f"data={path}: cannot read the zip"):
            open_source(str(path), 24)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**24


def test_special_files_are_bad_images(tmp_path):
    """Opening a FIFO would wait forever, and a device has no end."""
    for name in ("1.png", "manifest.json"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "2.png").symlink_to("/dev/zero")
    with (tmp_path / "3.png").open("wb") as file:
        file.truncate(2**40)
    (tmp_path / "4.png").write_bytes(encode(picture(), "PNG"))
    assert len(open_source(str(tmp_path), 24, on_bad_image="skip")) == 1


@pytest.mark.parametrize("ending", ["zip", "npz", "npy", "idx", "idx.gz", "mdb"])
def test_a_source_that_is_a_fifo_is_a_user_error(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    os.mkfifo(path)
    with pytest.raises(UserError, match=f"data={path}: .*not a regular file"):
        open_source(str(path), 24)


def test_natural_order_of_long_numbers(tmp_path):
    paths = ["01.png", "1.png", "2.png", "10.png", f"{10**80}.png", "a1b.png"]
    assert folder(tmp_path, *reversed(paths)).names == paths


def test_deep_directories_and_many_flag_files_take_little_time(tmp_path):
    """A naive scan takes time cubic in the depth and quadratic in the files."""
    path = tmp_path
    for _ in range(400):
        path /= "d"
    path.mkdir(parents=True)
    (path / "1.png").write_bytes(encode(picture(), "PNG"))
    start = time.process_time()
    assert len(FolderReader(str(tmp_path))) == 1
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(10_000):
            archive.writestr(f"{number}/flags.cfg", "")
        archive.writestr("1/1.png", "")
    assert len(ZipReader(str(tmp_path / "a.zip"))) == 1
    assert time.process_time() - start < 3  # 0.5 s; a naive scan takes 20 s
