import shutil

import lmdb
import numpy as np
import pytest
from PIL import Image

from lada_tf.data import open_source
from lada_tf.data.opening import open_reader
from lada_tf.errors import UserError
from tests.data.images import encode


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
