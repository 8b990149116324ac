import numpy as np
import pytest
from PIL import Image

from lada_tf.data import open_source
from lada_tf.errors import UserError
from lada_tf.evaluation.image_sets import generated_images, stored_images
from tests.evaluation.fakes import fake_generator
from tests.evaluation.recipes import images


def read(image_set, count=None):
    return np.concatenate(list(image_set.batches(count or image_set.num_images)))


def test_a_generated_set_is_repeatable_and_unlimited():
    image_set = generated_images(fake_generator())
    assert (image_set.image_size, image_set.num_images) == (8, None)
    np.testing.assert_array_equal(read(image_set, 4), read(image_set, 4))
    other = generated_images(fake_generator(), seed=1)
    assert (read(image_set, 4) != read(other, 4)).mean() > 0.5


@pytest.fixture
def directory(tmp_path):
    for index, image in enumerate(images(0, 3, 8)):
        Image.fromarray(image).save(tmp_path / f"{index}.png")
    return tmp_path


def test_a_directory(directory):
    image_set = stored_images(str(directory), batch_size=2)
    assert (image_set.num_images, image_set.image_size) == (3, 8)
    np.testing.assert_array_equal(read(image_set), images(0, 3, 8))
    np.testing.assert_array_equal(read(image_set, 2), images(0, 2, 8))


def test_the_origin_changes_with_the_images(tmp_path):
    origins = []
    for seed in (0, 0, 1):
        np.save(tmp_path / "a.npy", images(seed, 3, 8))
        origins.append(stored_images(str(tmp_path / "a.npy")).origin["images"])
    assert origins[0] == origins[1] != origins[2]


def test_images_of_different_sizes(directory):
    Image.fromarray(images(0, 1, 9)[0]).save(directory / "3.png")
    with pytest.raises(UserError, match=r"3.png: is 9x9, not 8x8"):
        read(stored_images(str(directory)))


def test_generated_and_real_images_are_read_alike(tmp_path):
    directory = tmp_path / "images"
    directory.mkdir()
    random = np.random.default_rng(0)
    rgba = Image.fromarray(random.integers(0, 256, (8, 8, 4), np.uint8))
    rgba.save(directory / "10.png")
    exif = rgba.getexif()
    exif[0x112] = 6
    rgba.convert("RGB").save(directory / "2.jpg", exif=exif)
    deep = random.integers(0, 2**16, (8, 8), np.uint16)
    Image.fromarray(deep).save(directory / "1.png")
    (directory / "._1.png").write_bytes(b"")
    (directory / "3.png").write_bytes(b"cut")
    real = open_source(str(directory), 8, on_bad_image="skip")
    for limit in (0, 10**6):
        image_set = stored_images(
            str(directory),
            on_bad_image="skip",
            memory_limit=limit,
            cache_dir=str(tmp_path / "cache"),
        )
        assert image_set.num_images == 3
        np.testing.assert_array_equal(read(image_set), real.images(np.arange(3)))


def test_the_reason_is_named_if_no_image_is_usable(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"a\.png: not a"):
        stored_images(str(tmp_path))


def test_mistakes_name_the_argument(directory):
    (directory / "1.png").write_bytes(b"cut off")
    np.savez(directory / "wide.npz", np.zeros((2, 8, 9, 3), np.uint8))
    for name in ("", "wide.npz", "missing.npz"):
        with pytest.raises(UserError, match=f"^images={directory / name}|1.png"):
            read(stored_images(str(directory / name)))
