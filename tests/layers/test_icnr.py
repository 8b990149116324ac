"""ICNR initialization."""

import keras
import numpy as np
import pytest

from lada_tf.layers import ICNR, PixelShuffle
from lada_tf.models import Generator

SMALL = {"widths": (16, 8), "num_heads": 2, "mlp_dim": 16, "latent_dim": 8}


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_a_pixel_shuffle_starts_as_nearest_upsampling(factor):
    kernel = ICNR("glorot_uniform", factor)((6, 3 * factor**2))
    maps = keras.ops.tensordot(keras.random.normal((2, 4, 4, 6)), kernel, 1)
    images = np.asarray(PixelShuffle(factor)(maps))
    upsampled = images[:, ::factor, ::factor].repeat(factor, 1).repeat(factor, 2)
    np.testing.assert_array_equal(images, upsampled)


@pytest.mark.parametrize(
    ("arguments", "factors"),
    [
        ({"image_size": 16, "output_head": "pixel"}, [2, 1]),
        ({"image_size": 32, "output_head": "patch"}, [2, 2]),
    ],
)
def test_generators_use_icnr_before_each_pixel_shuffle(arguments, factors):
    generator = Generator(**SMALL, **arguments, icnr=True)
    generator.build()
    for block, factor in zip(generator.blocks, factors, strict=True):
        groups = np.split(np.asarray(block.mlp_output.kernel), factor**2, axis=-1)
        assert all(np.array_equal(groups[0], group) for group in groups)
        assert groups[0].std() > 0
    before, after = (block.mlp_output.kernel for block in generator.blocks)
    assert not np.array_equal(before[:, :8], after[:, :8])


def test_equal_configurations_give_new_values():
    config = keras.initializers.serialize(ICNR("orthogonal"))
    first, second = (keras.initializers.deserialize(config)((8, 8)) for _ in range(2))
    assert not np.array_equal(first, second)


def test_channels_that_do_not_fit():
    with pytest.raises(ValueError, match="divisible by 4, not 6"):
        ICNR()((8, 6))
