"""The ways between latents."""

import numpy as np
import pytest

from lada_tf.sampling.generate import interpolate

CORNERS = np.array([[3, 0, 0], [0, 3, 0]], np.float32)


@pytest.mark.parametrize("spherical", [False, True])
def test_interpolation_goes_through_every_latent_and_back(spherical):
    path = interpolate(CORNERS, 4, spherical)
    assert path.dtype == "float32"
    assert path.shape == (8, 3)
    np.testing.assert_allclose(path[[0, 4]], CORNERS, atol=1e-6)
    np.testing.assert_allclose(path[2], path[6], atol=1e-6)  # half way there and back
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-5)


def test_lines_are_shorter_in_the_middle_and_arcs_are_not():
    middle = interpolate(CORNERS, 2, spherical=False)[1]
    np.testing.assert_allclose(middle, [1.5, 1.5, 0], atol=1e-6)
    lengths = np.linalg.norm(interpolate(CORNERS, 5, spherical=True), axis=1)
    np.testing.assert_allclose(lengths, 3, rtol=1e-6)


def test_an_arc_between_equal_latents_stays_there():
    path = interpolate(np.repeat(CORNERS[:1], 2, axis=0), 3, spherical=True)
    np.testing.assert_allclose(path, np.tile(CORNERS[:1], (6, 1)))
