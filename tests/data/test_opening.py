import zipfile

import numpy as np
import pytest
from PIL import Image

from lada_tf.data import open_source
from lada_tf.errors import UserError
from tests.data.images import gray_images, write_idx


def all_images(source) -> np.ndarray:
    return source.images(np.arange(len(source)))


def test_portraits():
    source = open_source("portraits", 32)
    assert len(source) == 997
    assert source.image_size == 32
    images = all_images(source)
    assert images.shape == (997, 32, 32, 3)
    assert images.dtype == np.uint8
    # All portraits are different.
    assert len(np.unique(images.reshape(997, -1), axis=0)) == 997


@pytest.mark.parametrize("size", [16, 64])
def test_portraits_of_another_size(size):
    assert all_images(open_source("portraits", size)).shape == (997, size, size, 3)


def test_the_default_resize_is_that_of_the_data_not_of_its_name(tmp_path):
    directory = tmp_path / "fashion_mnist_hires"
    directory.mkdir()
    Image.new("RGB", (40, 30)).save(directory / "0.png")
    source = open_source(str(directory), 16)
    assert source.resize == "center_crop"
    assert ":center_crop:" in source.fingerprint


def test_images_of_their_own_size(tmp_path):
    np.save(tmp_path / "a.npy", gray_images(3))
    source = open_source(str(tmp_path / "a.npy"), None)
    assert (source.image_size, source.resize) == (28, "unchanged")
    np.testing.assert_array_equal(all_images(source)[..., 0], gray_images(3))


def test_the_case_of_an_ending_does_not_matter(tmp_path):
    images = gray_images(3)
    write_idx(tmp_path / "X-IDX3-UBYTE.GZ", images)
    with zipfile.ZipFile(tmp_path / "X.ZIP", "w") as archive:
        for number, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / "A.PNG")
            archive.write(tmp_path / "A.PNG", f"{number}.PNG")
    for name, save in (("X.Npy", np.save), ("X.NPZ", np.savez)):
        with (tmp_path / name).open("wb") as file:
            save(file, images)
    for name in ("X-IDX3-UBYTE.GZ", "X.ZIP", "X.Npy", "X.NPZ"):
        source = open_source(str(tmp_path / name), 28)
        np.testing.assert_array_equal(all_images(source)[..., 0], images)


def test_home_is_expanded_in_every_path(tmp_path, monkeypatch, image_directory):
    _, pixels = image_directory
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    arguments = {"memory_limit": 0, "cache_dir": "~/cache"}
    source = open_source("~/images", 12, **arguments)
    np.testing.assert_array_equal(all_images(source), pixels)
    assert any((tmp_path / "cache").glob("folder-*"))
    assert not (tmp_path / "~").exists()


def test_idx_zip_directory_and_numpy_of_the_same_images_agree(tmp_path):
    images = gray_images(12)
    write_idx(tmp_path / "x-idx3-ubyte.gz", images)
    np.save(tmp_path / "x.npy", images)
    np.savez(tmp_path / "x.npz", images=images, labels=np.arange(12))
    directory = tmp_path / "directory"
    directory.mkdir()
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for number, image in enumerate(images):
            # No leading zeros: in natural order, 2.png is before 10.png.
            path = directory / f"{number}.png"
            Image.fromarray(image).save(path)
            archive.write(path, path.name)
    for resize, size in (("plain", 28), ("plain", 16), ("pad", 32), ("lsun", 14)):
        sources = [
            open_source(str(tmp_path / name), size, resize=resize)
            for name in ("x-idx3-ubyte.gz", "x.npy", "x.npz", "x.zip", "directory")
        ]
        assert len({source.fingerprint for source in sources}) >= 4
        for source in sources[1:]:
            np.testing.assert_array_equal(all_images(source), all_images(sources[0]))


def test_fingerprint_depends_on_data_and_preprocessing_but_not_on_the_path(tmp_path):
    images = gray_images(6)
    for name in ("a.npy", "moved.npy"):
        np.save(tmp_path / name, images)
    changed = images.copy()
    changed[3, 0, 0] ^= 1
    np.save(tmp_path / "changed.npy", changed)
    np.save(tmp_path / "fewer.npy", images[:5])
    opened = {
        (name, size, resize): open_source(
            str(tmp_path / name), size, resize=resize
        ).fingerprint
        for name, size, resize in [
            ("a.npy", 28, "plain"),
            ("moved.npy", 28, "plain"),
            ("changed.npy", 28, "plain"),
            ("fewer.npy", 28, "plain"),
            ("a.npy", 28, "pad"),
            ("a.npy", 16, "plain"),
        ]
    }
    assert opened["a.npy", 28, "plain"] == opened["moved.npy", 28, "plain"]
    assert len(set(opened.values())) == 5


def test_invalid_data_raises_a_user_error(tmp_path):
    def file(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "float.npy", np.zeros((2, 8, 8, 3), np.float32))
    np.save(tmp_path / "none.npy", np.zeros((0, 8, 8, 3), np.uint8))
    np.savez(tmp_path / "two.npz", a=np.zeros(1), b=np.zeros(1))
    with zipfile.ZipFile(tmp_path / "text.zip", "w") as archive:
        archive.writestr("readme.txt", "no image")
    cases = {
        str(tmp_path / "absent"): "not found",
        str(tmp_path / "empty"): "no images found",
        str(tmp_path / "float.npy"): "float32",
        str(tmp_path / "none.npy"): "no images found",
        str(tmp_path / "two.npz"): "a, b",
        str(tmp_path / "text.zip"): "no images found",
        file("labels-ubyte", b"\0\0\x08\x01\0\0\0\x01\0"): "not an IDX file of images",
        file("music.mp3", b"ID3"): "unsupported data source",
        "fashion_mnist:validation": "train and test",
    }
    for data, message in cases.items():
        with pytest.raises(UserError, match=message) as caught:
            open_source(data, 8)
        assert "\n" not in str(caught.value)
        assert f"data={data}" in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 0}, "image_size"),
        ({"resize": "stretch"}, "center_crop, plain, lsun, pad"),
        ({"on_bad_image": "ignore"}, "on_bad_image"),
    ],
)
def test_invalid_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        open_source("portraits", **{"image_size": 32, **arguments})
