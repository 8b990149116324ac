"""Grids of images and of attention maps."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from lada_tf.errors import UserError
from lada_tf.sampling.grids import (
    attention_grid,
    image_grid,
    one_head,
    png_bytes,
    to_uint8,
)

IMAGES = np.random.default_rng(0).uniform(-1, 1, (3, 8, 8, 3)).astype(np.float32)
MAPS = [np.ones((3, heads, side**2)) for heads, side in ((2, 4), (1, 8))]


def test_image_grid():
    grid = image_grid(IMAGES, columns=2, side=16)
    assert (grid.shape, grid.dtype) == ((32, 32, 3), np.uint8)
    assert (grid[16:, 16:] == 255).all()  # there are only three images
    assert (grid[:16:2] == grid[1:16:2]).all()  # pixels are repeated
    np.testing.assert_array_equal(
        grid[0, 0], np.rint(IMAGES[0, 0, 0] * 127.5 + 127.5).astype(np.uint8)
    )


def test_attention_grid_has_a_column_per_head():
    grid = attention_grid(IMAGES, MAPS, side=8)
    assert grid.shape == (3 * 10 - 2, 4 * 10 - 2, 3)
    assert (grid[:8, 10:18] == [252, 255, 164]).all()  # the maximum of a map


def test_one_head():
    assert [stage.shape for stage in one_head(MAPS, 0)] == [(3, 1, 16), (3, 1, 64)]
    with pytest.raises(UserError, match="head=1"):
        one_head(MAPS, 1)


def test_png_is_lossless():
    picture = image_grid(IMAGES, columns=2)
    decoded = Image.open(io.BytesIO(png_bytes(picture)))
    np.testing.assert_array_equal(decoded, picture)


def test_levels_round_trip_and_other_values_saturate():
    levels = np.arange(256)
    back = to_uint8((levels / 127.5 - 1).astype(np.float32))
    np.testing.assert_array_equal(back, levels)
    saturated = to_uint8(np.float32([-9, -1.01, 1.01, 9]))
    np.testing.assert_array_equal(saturated, [0, 0, 255, 255])


def test_arrays_and_graphs_round_like_numpy():
    images = np.random.default_rng(0).uniform(-1.5, 1.5, (4, 32, 32, 3))
    images = images.astype(np.float32)
    images[0, 0, :, 0] = np.arange(32) * 2 / 255 - 1 + 1 / 255  # halves
    expected = np.clip(np.rint(images * np.float32(127.5) + np.float32(127.5)), 0, 255)
    for convert in (to_uint8, tf.function(to_uint8)):
        converted = np.asarray(convert(images))
        assert converted.dtype == np.uint8
        np.testing.assert_array_equal(converted, expected)
