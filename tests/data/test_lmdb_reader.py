import contextlib
import shutil

import lmdb
import numpy as np
import pytest
from PIL import Image

from lada_tf.data import open_source
from lada_tf.data.opening import open_reader
from lada_tf.errors import UserError
from tests.data.images import encode, picture


def write_lmdb(path, values: dict[bytes, bytes], deleted=()) -> None:
    environment = lmdb.open(str(path), map_size=10**8)
    with environment.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key, value)
    with environment.begin(write=True) as transaction:
        for key in deleted:
            transaction.delete(key)
    environment.close()


def entries(path) -> list[tuple[str, bytes]]:
    reader = open_reader(str(path))
    items = reader.items(0, len(reader))
    return [(item.name.removeprefix(f"{path}:"), item.load()) for item in items]


@pytest.fixture
def bedroom(tmp_path):
    """An LMDB of 40 lossless WebP images of 20x16 with keys like LSUN's, and pixels."""
    pixels = np.random.default_rng(3).integers(0, 256, (40, 16, 20, 3), np.uint8)
    keys = sorted(f"{number * 7919:040x}".encode() for number in range(40))
    path = tmp_path / "bedroom_train_lmdb"
    files = [encode(Image.fromarray(p), "WEBP", lossless=True) for p in pixels]
    write_lmdb(path, dict(zip(keys, files, strict=True)))
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
    write_lmdb(path, {b"0" * 40: encode(picture(), "PNG")})
    assert open_reader(str(path)).identity != before


@pytest.mark.parametrize("deleted", [0, 700, 1000])
def test_an_lmdb_has_the_entries_that_the_library_finds(tmp_path, deleted):
    """With values in leaves and on pages of their own, and several levels."""
    random = np.random.default_rng(0)
    sizes = random.choice([0, 1, 100, 2000, 5000, 20000], 1001)
    values = {
        f"{i * 7919:0{20 + i % 9}x}".encode(): random.bytes(n)
        for i, n in enumerate(sizes)
    }
    write_lmdb(tmp_path, values, list(values)[:deleted])
    options = {"readonly": True, "lock": False}
    with lmdb.open(str(tmp_path), **options) as library, library.begin() as transaction:
        expected = [(key.decode(), value) for key, value in transaction.cursor()]
    assert entries(tmp_path) == expected
    assert len(open_reader(str(tmp_path))) == len(expected) == 1001 - deleted


def test_an_empty_lmdb(tmp_path):
    write_lmdb(tmp_path, {b"a": b"b"}, [b"a"])
    with pytest.raises(UserError, match="no images"):
        open_reader(str(tmp_path))


def try_to_read(path, content: bytes) -> None:
    """Read all entries, as far as possible. Any other error ends the test."""
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        entries(path)


def test_a_truncated_lmdb_is_a_user_error_or_has_bad_images(tmp_path):
    """The library would end the process with SIGBUS."""
    image = encode(picture(), "PNG")
    write_lmdb(tmp_path / "whole", {b"%04d" % number: image for number in range(99)})
    content = (tmp_path / "whole" / "data.mdb").read_bytes()
    (tmp_path / "half.mdb").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=f"data={tmp_path}.*LMDB"):
        open_source(str(tmp_path / "half.mdb"), 24)
    for size in (0, 100, 4096, 4097, 8192, 20_000, len(content) - 1):
        try_to_read(tmp_path / "a.mdb", content[:size])


def test_a_damaged_lmdb_never_ends_the_process(tmp_path):
    image = encode(picture().resize((8, 8)), "PNG")
    values = {b"%04d" % number: image * (1 + number % 30) for number in range(99)}
    write_lmdb(tmp_path / "whole", values)
    content = (tmp_path / "whole" / "data.mdb").read_bytes()
    random = np.random.default_rng(0)
    for _ in range(15):
        damaged = bytearray(content)
        for page in random.integers(0, len(content) // 4096, 9):
            position = page * 4096 + random.integers(0, 160)
            damaged[position] = random.integers(0, 256)
        try_to_read(tmp_path / "a.mdb", bytes(damaged))


def test_modules_beside_the_data_are_not_imported(tmp_path, monkeypatch):
    write_lmdb(tmp_path / "data", {b"a": encode(picture(), "PNG")})
    monkeypatch.chdir(tmp_path)
    for name in ("lmdb", "struct"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w')", "utf-8")
    assert len(entries(tmp_path / "data")) == 1
    assert not (tmp_path / "ran").exists()
