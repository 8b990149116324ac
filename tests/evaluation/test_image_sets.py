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


def test_generated_images_do_not_depend_on_the_batch_size():
    generator = fake_generator()
    whole, split = (
        read(generated_images(generator, seed=3, batch_size=size), 50)
        for size in (50, 7)
    )
    assert whole.shape == (50, 8, 8, 3)
    assert whole.dtype == np.uint8
    # Sums in another order: a value near a half can round either way.
    assert np.abs(whole.astype(int) - split).max() <= 1
    assert (whole == split).mean() > 0.999


def test_a_generated_set_is_repeatable_and_unlimited():
    image_set = generated_images(fake_generator())
    assert (image_set.image_size, image_set.num_images) == (8, None)
    np.testing.assert_array_equal(read(image_set, 4), read(image_set, 4))
    other = generated_images(fake_generator(), seed=1)
    assert (read(image_set, 4) != read(other, 4)).mean() > 0.5


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_pixels_are_an_error(value):
    generator = fake_generator()
    bias = generator.layers[1].bias
    bias.assign(np.full(bias.shape, value))
    with pytest.raises(UserError, match="diverged"):
        read(generated_images(generator), 4)


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


@pytest.mark.parametrize("name", ["arr_0", "images", None])
def test_an_array(tmp_path, name):
    path = str(tmp_path / ("a.npz" if name else "a.npy"))
    array = images(0, 3, 8)
    np.savez(path, **{name: array}) if name else np.save(path, array)
    np.testing.assert_array_equal(read(stored_images(path)), array)


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


def test_a_truncated_image(directory):
    data = (directory / "1.png").read_bytes()
    (directory / "1.png").write_bytes(data[:60])
    with pytest.raises(UserError, match=r"1.png"):
        read(stored_images(str(directory)))


@pytest.mark.parametrize(
    "arrays",
    [
        {"arr_0": np.array([{}, {}], dtype=object)},
        {"a": np.zeros(3), "b": np.zeros(3)},
        {"arr_0": np.zeros((3, 8, 8, 3))},
        {"arr_0": np.zeros((0, 8, 8, 3), np.uint8)},
        {"arr_0": np.zeros((2, 8, 9, 3), np.uint8)},
    ],
    ids=["pickles", "unknown_names", "floats", "empty", "not_square"],
)
def test_bad_arrays(tmp_path, arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError, match=r"images=.*a\.npz"):
        stored_images(str(tmp_path / "a.npz"))


@pytest.mark.parametrize("name", ["", "truncated.npz", "missing.npz"])
def test_bad_paths(tmp_path, name):
    (tmp_path / "truncated.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(UserError, match=f"images={tmp_path / name}"):
        stored_images(str(tmp_path / name))
