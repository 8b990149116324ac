"""The demo page's pictures, of a generator with known pixels."""

import numpy as np
import pytest

from lada_tf.serving.explorer import NUM_DIRECTIONS, Explorer


class Linear:
    """A linear generator of 8×8 gray images: pixel i is scale i times latent i."""

    latent_dim = 16
    image_size = 8
    scales = np.linspace(0.2, 0.01, 16)

    def __call__(self, latents, return_attention_maps=False):
        images = np.zeros((len(latents), 64, 3))
        images[:, :16] = (latents * self.scales)[..., None]
        images = images.reshape(-1, 8, 8, 3)
        maps = [np.zeros((len(latents), 2, side**2)) for side in (4, 8)]
        for stage in maps:
            stage[:, 0, 0] = stage[:, 1, -1] = 1
        return (images, maps) if return_attention_maps else images


@pytest.fixture
def explorer():
    return Explorer(Linear())


def test_images_of_a_seed_do_not_depend_on_how_many_are_asked_for(explorer):
    many, few = explorer.gallery(3, 9), explorer.gallery(3, 2)
    assert many.shape == (9, 8, 8, 3)
    assert many.dtype == np.uint8
    np.testing.assert_array_equal(many[:2], few)
    assert (explorer.gallery(4, 2) != few).any()


@pytest.mark.parametrize("spherical", [False, True])
def test_between_two_begins_at_one_and_ends_at_the_other(explorer, spherical):
    images = explorer.between(0, 5, 1, 7, spherical)
    assert images.shape == (7, 8, 8, 3)
    gallery = explorer.gallery(0, 6)
    np.testing.assert_array_equal(images[0], gallery[5])
    np.testing.assert_array_equal(images[-1], gallery[1])


def test_directions_are_those_that_images_change_most_along(explorer):
    directions = explorer.directions
    np.testing.assert_allclose(
        directions @ directions.T, np.eye(NUM_DIRECTIONS), atol=1e-9
    )
    # Pixel i depends only on latent i, and the first pixels change most.
    assert np.abs(directions).argmax(1).tolist() == list(range(NUM_DIRECTIONS))
    assert np.abs(directions).max(1).min() > 0.9


def test_moving_an_image(explorer):
    image = explorer.gallery(0, 3)[2]
    np.testing.assert_array_equal(explorer.moved(0, 2, [0, 0]), image)
    changed = explorer.moved(0, 2, [3.0, 0]).astype(int) - image
    pixel = np.abs(changed).sum(-1).argmax()
    assert pixel == 0  # the first direction is the first latent
    assert np.abs(changed[0, 0]).min() > 0.9 * 3 * 0.2 * 127.5


def test_attention_is_laid_over_the_image(explorer):
    shown = explorer.attention(0, 1)
    assert [text for _, text in shown] == [
        "the image",
        "4×4, head 1",
        "4×4, head 2",
        "the image",
        "8×8, head 1",
        "8×8, head 2",
    ]
    image, first, second = (picture.astype(int).sum(-1) for picture, _ in shown[:3])
    np.testing.assert_array_equal(image, explorer.gallery(0, 2)[1].sum(-1))
    brightest = np.argwhere(first - 0.45 * image > 0.5 * 255)
    assert {tuple(p) for p in brightest.tolist()} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert (second[-2:, -2:] - first[-2:, -2:] > 0.5 * 255).all()
