"""Generated images, and interpolated latents."""

import numpy as np
import pytest

from lada_tf.errors import UserError
from lada_tf.sampling import Sampler, Samples, generate_images, interpolate, latents
from lada_tf.sampling.generate import parse_seeds

CORNERS = np.array([[3, 0, 0], [0, 3, 0]], np.float32)


def test_the_batch_size_does_not_change_images(generator):
    samples = Samples.of_seed(1, 5)
    [whole] = Sampler(generator, attention_maps=True).batches(samples)
    assert (whole.images.shape, whole.images.dtype) == ((5, 8, 8, 3), np.uint8)
    assert [m.shape for m in whole.attention_maps] == [(5, 2, 16), (5, 2, 64)]
    split = generate_images(generator, 5, seed=1, batch_size=2)
    np.testing.assert_allclose(split, whole.images, atol=1)  # rounding at .5
    other = generate_images(generator, 5, seed=2)
    assert (other != whole.images).mean() > 0.5


def test_truncation_multiplies_latents(generator):
    samples = Samples.of_seed(1, 3, truncation=0.5)
    expected = latents(1, range(3), 3) / 2
    np.testing.assert_array_equal(samples.latents(0, 9, 3), expected)
    half = generate_images(generator, 3, seed=1, truncation=0.5)
    np.testing.assert_array_equal(half, Sampler(generator)(expected).images)


@pytest.mark.parametrize("truncation", [0, -1, 1.5, float("nan")])
def test_other_truncations_are_refused(truncation):
    with pytest.raises(UserError, match="truncation="):
        Samples.of_seed(0, 1, truncation=truncation)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_pixels_are_an_error(generator, value):
    weight = generator.weights[-1]
    before = weight.numpy()
    weight.assign(np.full(weight.shape, value))
    with pytest.raises(UserError, match="diverged"):
        generate_images(generator, 1)
    weight.assign(before)


@pytest.mark.parametrize("spherical", [False, True])
def test_paths_visit_every_latent_and_return(spherical):
    samples = Samples.of_seed(5, 2, steps=4, spherical=spherical)
    path = samples.latents(0, 8, 3)
    assert path.dtype == "float32"
    np.testing.assert_allclose(path[::4], latents(5, range(2), 3), atol=1e-6)
    np.testing.assert_allclose(path[2], path[6], atol=1e-6)  # the middle, both ways
    np.testing.assert_array_equal(samples.latents(3, 6, 3), path[3:6])
    assert samples.origin(5) == {"seed": 5, "index": 1, "step": 1, "steps": 4}


def test_lines_are_shorter_in_the_middle_and_arcs_are_not():
    weights = np.linspace(0, 1, 5)
    line = interpolate(CORNERS[:1], CORNERS[1:], weights)
    np.testing.assert_allclose(line[2], [1.5, 1.5, 0], atol=1e-6)
    arc = interpolate(CORNERS[:1], CORNERS[1:], weights, spherical=True)
    np.testing.assert_allclose(np.linalg.norm(arc, axis=1), 3, rtol=1e-6)
    steps = np.linalg.norm(np.diff(arc, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-5)


def test_an_arc_between_equal_latents_is_constant():
    arc = interpolate(CORNERS, CORNERS, np.array([0.2, 0.7]), spherical=True)
    np.testing.assert_allclose(arc, CORNERS)


def test_lists_of_seeds():
    assert parse_seeds("0-3, 205,9").tolist() == [0, 1, 2, 3, 205, 9]
    assert parse_seeds(f"{2**63 - 1}").tolist() == [2**63 - 1]


@pytest.mark.parametrize(
    "text",
    ["", "a", "-1", "3-1", "1,", "1,1", "0-5,3", "1.5", f"{2**63}", "0-1000000000"],
)
def test_other_lists_are_refused(text):
    with pytest.raises(UserError, match="seeds="):
        parse_seeds(text)
