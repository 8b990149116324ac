import numpy as np

from lada_tf.evaluation.copies import Pixels, find_copies


def pixels(images):
    result = Pixels(len(images))
    result.add(images)
    return result


def test_near_copies_of_equal_images():
    """The mean distance to the neighbors is 0."""
    black = np.zeros((3, 64, 64, 3), np.uint8)
    speck, white = black[:1].copy(), black[:1] + np.uint8(255)
    speck[0, 0, 0] = 1  # invisible in the thumbnail
    images = np.concatenate([black[:1], speck, white])
    found = find_copies(pixels(images), pixels(black))
    assert found.exact.tolist() == [True, False, False]
    assert found.near.tolist() == [False, True, False]
