import gzip
import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from lada_tf.data import open_source
from lada_tf.data.arrays import ArrayReader
from lada_tf.errors import UserError
from tests.data.images import gray_images, write_idx


def test_fashion_mnist_is_padded_and_gray(tmp_path, monkeypatch):
    train, test = gray_images(6), gray_images(3)
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", train)
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", test)
    monkeypatch.setattr("lada_tf.data.arrays.FASHION_MNIST_DIR", str(tmp_path))
    images = open_source("fashion_mnist", 32).images(np.arange(6))
    assert images.shape == (6, 32, 32, 3)
    for channel in range(3):
        np.testing.assert_array_equal(images[:, 2:30, 2:30, channel], train)
    assert images.sum() == 3 * train.sum(dtype=int)
    assert len(open_source("fashion_mnist:test", 28)) == 3


def test_error_explains_how_to_install_fashion_mnist(monkeypatch):
    monkeypatch.setattr("lada_tf.data.arrays.FASHION_MNIST_DIR", "/nowhere")
    with pytest.raises(UserError, match="apt install dataset-fashion-mnist"):
        open_source("fashion_mnist", 32)


def test_the_identity_covers_every_pixel():
    def identity(array):
        return ArrayReader("npy", "a", array).identity

    images = gray_images(1000, 4)
    before = identity(images)
    assert identity(images.copy()) == before
    for index in (1, 500, 998):  # evenly spaced samples would miss some
        changed = images.copy()
        changed[index, 1, 2] ^= 1
        assert identity(changed) != before


GOOD = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 24, 24, 3), }"


def npy(header: str = GOOD, version=(1, 0), length: int | None = None) -> bytes:
    text = header.encode()
    number = struct.pack("<I" if version > (1, 0) else "<H", length or len(text))
    return b"\x93NUMPY" + bytes(version) + number + text + bytes(2 * 24 * 24 * 3)


def write_npz(path, content: bytes, method=zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("images.npy", content)


@pytest.mark.parametrize(
    "content",
    [
        npy(GOOD.replace("(2,", "(2000000000000,")),
        npy(GOOD.replace("(2,", "(-2,")),
        npy(GOOD.replace("(2, 24", "(-2, -24")),
        npy(GOOD.replace("(2, 24", "(2, 0")),
        npy(GOOD.replace("(2, 24, 24", f"({10**30}, 0, 0")),
        npy(GOOD.replace("(2, 24, 24, 3)", "()")),
        npy(GOOD.replace("(2, 24, 24, 3)", "(" * 99)),
        npy(GOOD.replace("|u1", "|O")),
        npy(GOOD.replace("|u1", "|S0")),
        npy(GOOD.replace("|u1", "<c16")),
        npy(GOOD.replace("'|u1'", "[('a', '|u1')]")),
        npy(GOOD, (9, 9)),
        npy(GOOD, (2, 0), 2**32 - 1),
        npy(GOOD, length=9),
        npy("x" * 60_000),
        b"",
    ],
)
@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_a_damaged_array_is_a_user_error(tmp_path, content, ending):
    path = tmp_path / f"a.{ending}"
    if ending == "npy":
        path.write_bytes(content)
    else:
        write_npz(path, content)
    with pytest.raises(UserError, match=f"data={path}: ") as caught:
        open_source(str(path), 24)
    assert "\n" not in str(caught.value)


def test_an_array_in_fortran_order(tmp_path):
    images = np.asfortranarray(
        np.random.default_rng(0).integers(0, 256, (5, 24, 24, 3), np.uint8)
    )
    np.save(tmp_path / "a.npy", images)
    np.savez_compressed(tmp_path / "a.npz", images)
    for name in ("a.npy", "a.npz"):
        source = open_source(str(tmp_path / name), 24)
        np.testing.assert_array_equal(source.images(np.arange(5)), images)


def idx(*shape: int, length: int = 2 * 24 * 24) -> bytes:
    return (
        bytes((0, 0, 8, len(shape))) + np.array(shape, ">u4").tobytes() + bytes(length)
    )


@pytest.mark.parametrize(
    "content",
    [
        idx(2**32 - 1, 2**32 - 1, 2**32 - 1),
        idx(2**32 - 1, 0, 24, length=0),
        idx(2, 24, 25),
        idx(2, 24, 23),
        idx(2, 24, 24)[:9],
        idx(2, 24),
        gzip.compress(idx(2, 24, 24), mtime=0)[:-9],
        gzip.compress(idx(2, 24, 25), mtime=0),
        gzip.compress(idx(2, 2**12, 2**12, length=2**25), mtime=0),
        gzip.compress(idx(2, 24, 24, length=2**26), mtime=0),
    ],
)
def test_a_damaged_idx_file_is_a_user_error(tmp_path, content, monkeypatch):
    monkeypatch.setattr("lada_tf.io._FREE_BYTES", 2**24)
    path = tmp_path / "a.idx"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(UserError, match=f"data={path}: "):
        open_source(str(path), 24)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**24


def test_a_bomb_of_an_array_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("lada_tf.io._FREE_BYTES", 2**20)
    file = io.BytesIO()
    np.save(file, np.zeros((2**10, 32, 32, 3), np.uint8))
    write_npz(tmp_path / "a.npz", file.getvalue(), zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="bomb"):
        open_source(str(tmp_path / "a.npz"), 24)
