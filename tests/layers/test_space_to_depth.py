"""SpaceToDepth."""

import numpy as np
import pytest
import tensorflow as tf

from lada_tf.layers import SpaceToDepth
from tests.layers.layer_checks import run_layer_test

GRID = (3, 6, 4, 16)


def test_common_behavior(tmp_path):
    run_layer_test(SpaceToDepth(2), [GRID], (3, 3, 2, 64), tmp_path)


def test_it_equals_tensorflow():
    x = tf.random.normal(GRID)
    np.testing.assert_array_equal(SpaceToDepth(2)(x), tf.nn.space_to_depth(x, 2))


def test_sides_that_do_not_fit():
    with pytest.raises(ValueError, match="not 3×2"):
        SpaceToDepth(2)(tf.zeros((1, 3, 2, 8)))
