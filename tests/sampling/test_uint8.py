"""Float images to uint8."""

import numpy as np
import tensorflow as tf

from lada_tf.sampling import to_uint8


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
