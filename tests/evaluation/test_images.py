import numpy as np
import pytest
from PIL import Image

from lada_tf.errors import UserError
from lada_tf.evaluation.images import ImagesOnDisk, generate, quantized, to_uint8
from tests.evaluation.fakes import fake_generator
from tests.evaluation.recipes import images


def test_generated_images_do_not_depend_on_the_batch_size():
    generator = quantized(fake_generator())
    together, apart = (
        np.concatenate(list(generate(generator, 128, 50, seed=3, batch_size=size)))
        for size in (50, 7)
    )
    assert together.shape == (50, 8, 8, 3)
    assert together.dtype == np.uint8
    # Sums of another order: a value at a half may go either way.
    assert np.abs(together.astype(int) - apart).max() <= 1
    assert (together == apart).mean() > 0.999


def test_the_seed_decides():
    first, again, other = (
        next(generate(quantized(fake_generator()), 128, 4, seed)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5


def test_a_generator_that_diverged_is_an_error():
    generator = fake_generator()
    bias = generator.layers[1].bias
    bias.assign(np.full(bias.shape, np.nan))
    with pytest.raises(UserError, match="diverged"):
        next(generate(quantized(generator), 128, 4))


def test_every_level_comes_back_and_the_rest_is_clipped():
    levels = np.arange(256)
    back = to_uint8((levels / 127.5 - 1).astype(np.float32)).numpy()
    np.testing.assert_array_equal(back, levels)
    np.testing.assert_array_equal(
        to_uint8(np.float32([-9, -1.01, 1.01, 9])), [0, 0, 255, 255]
    )


@pytest.fixture
def folder(tmp_path):
    for index, image in enumerate(images(0, 3, 8)):
        Image.fromarray(image).save(tmp_path / f"{index}.png")
    return tmp_path


def test_a_folder(folder):
    source = ImagesOnDisk(str(folder))
    np.testing.assert_array_equal(
        source.images(np.array([2, 0])), images(0, 3, 8)[[2, 0]]
    )
    assert (len(source), source.image_size) == (3, 8)


@pytest.mark.parametrize("name", ["arr_0", "images", None])
def test_an_array(tmp_path, name):
    path = str(tmp_path / ("a.npz" if name else "a.npy"))
    array = images(0, 3, 8)
    np.savez(path, **{name: array}) if name else np.save(path, array)
    np.testing.assert_array_equal(ImagesOnDisk(path).images(np.arange(3)), array)


def test_images_of_different_sizes(folder):
    Image.fromarray(images(0, 1, 9)[0]).save(folder / "3.png")
    source = ImagesOnDisk(str(folder))
    with pytest.raises(UserError, match=r"3.png is 9x9, .* 8x8"):
        source.images(np.arange(4))


def test_an_image_that_is_cut_off(folder):
    data = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(data[:60])
    with pytest.raises(UserError, match=r"1.png cannot be read"):
        ImagesOnDisk(str(folder)).images(np.arange(3))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"arr_0": np.array([{}, {}], dtype=object)}, "without executing pickles"),
        ({"other": np.zeros(3)}, "no array arr_0"),
        ({"arr_0": np.zeros((3, 8, 8, 3))}, "float64"),
        ({"arr_0": np.zeros((0, 8, 8, 3), np.uint8)}, "no image"),
        ({"arr_0": np.zeros((2, 8, 9, 3), np.uint8)}, "square"),
    ],
)
def test_bad_arrays(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError, match=message):
        ImagesOnDisk(str(tmp_path / "a.npz"))


def test_bad_paths(tmp_path):
    with pytest.raises(UserError, match="holds no image"):
        ImagesOnDisk(str(tmp_path))
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 cut off")
    for name in ("a.npz", "missing.npz"):
        with pytest.raises(UserError, match=r"no folder and no \.npz"):
            ImagesOnDisk(str(tmp_path / name))
