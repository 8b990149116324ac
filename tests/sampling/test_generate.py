"""Generated images, interpolated latents, and files of images."""

import numpy as np
import pytest
import tensorflow as tf

from lada_tf.errors import UserError
from lada_tf.models import Generator
from lada_tf.sampling import generate_images, interpolate_latents, write_samples

CORNERS = np.array([[3, 0, 0], [0, 3, 0]], np.float32)


@pytest.fixture(scope="module")
def generator():
    generator = Generator(
        8, widths=(8, 4), num_heads=2, mlp_dim=8, latent_dim=3, base_resolution=4
    )
    generator.build()
    return generator


def test_the_batch_size_does_not_change_images(generator):
    images, maps = generate_images(generator, 5, seed=1, attention_maps=True)
    assert (images.shape, images.dtype) == ((5, 8, 8, 3), np.uint8)
    assert [stage.shape for stage in maps] == [(5, 2, 16), (5, 2, 64)]
    batched, no_maps = generate_images(generator, 5, seed=1, batch_size=2)
    np.testing.assert_allclose(batched, images, atol=1)  # rounding at .5
    assert no_maps is None
    other, _ = generate_images(generator, 5, seed=2)
    assert (other != images).mean() > 0.5


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_diverged_generator_is_refused(value):
    """Its weights can be finite: their products overflow."""

    class Diverged:
        latent_dim, image_size, num_heads, resolutions = 3, 8, (), ()

        def __call__(self, latents, **_):
            return tf.fill((len(latents), 8, 8, 3), np.float32(value)), []

    with pytest.raises(UserError, match="NaN or infinite pixels"):
        generate_images(Diverged(), 2)


def test_interpolated_images_start_at_each_latent(generator):
    images, _ = generate_images(generator, 2)
    path, _ = generate_images(generator, 2, interpolation_steps=3)
    assert len(path) == 6
    np.testing.assert_allclose(path[::3], images, atol=1)  # rounding at .5


@pytest.mark.parametrize("spherical", [False, True])
def test_paths_visit_every_latent_and_return(spherical):
    path = interpolate_latents(CORNERS, 4, spherical)
    assert path.dtype == "float32"
    assert path.shape == (8, 3)
    np.testing.assert_allclose(path[[0, 4]], CORNERS, atol=1e-6)
    np.testing.assert_allclose(path[2], path[6], atol=1e-6)  # the middle, both ways
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-5)


def test_lines_are_shorter_in_the_middle_and_arcs_are_not():
    middle = interpolate_latents(CORNERS, 2, spherical=False)[1]
    np.testing.assert_allclose(middle, [1.5, 1.5, 0], atol=1e-6)
    lengths = np.linalg.norm(interpolate_latents(CORNERS, 5, spherical=True), axis=1)
    np.testing.assert_allclose(lengths, 3, rtol=1e-6)


def test_an_arc_between_equal_latents_is_constant():
    path = interpolate_latents(np.repeat(CORNERS[:1], 2, axis=0), 3, spherical=True)
    np.testing.assert_allclose(path, np.tile(CORNERS[:1], (6, 1)))


BLACK, WHITE = np.full((2, 3, 8, 8, 3), [[[[[-1]]]], [[[[1]]]]], np.float32)


@pytest.mark.parametrize("name", ["grid.PNG", "images.npz", "directory"])
def test_existing_outputs_are_replaced_only_on_request(name, tmp_path):
    output = tmp_path / "new" / name
    write_samples(output, BLACK)
    before = contents(output)
    assert output.is_dir() == (name == "directory")
    with pytest.raises(UserError, match=f"output={output}: already exists"):
        write_samples(output, WHITE)
    assert contents(output) == before
    write_samples(output, WHITE, overwrite=True)
    assert contents(output) != before


def contents(path):
    files = path.iterdir() if path.is_dir() else [path]
    return {file.name: file.read_bytes() for file in files}


def test_only_numbered_images_of_a_directory_are_replaced(tmp_path):
    for name in ("notes.txt", "me.png", "0.png", "7.png"):
        (tmp_path / name).touch()
    write_samples(tmp_path, WHITE, overwrite=True)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"notes.txt", "me.png", "0.png", "1.png", "2.png"}


def test_unknown_endings_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"grid\.jpg: expected"):
        write_samples(tmp_path / "grid.jpg", WHITE)
    assert not list(tmp_path.iterdir())
