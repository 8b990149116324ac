"""Generator: output heads, sizes, precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from lada_tf.models import Generator
from tests.models.network_checks import GENERATORS, check_file_and_xla, make_generator


@pytest.mark.slow
@pytest.mark.parametrize("name", GENERATORS)
def test_generator(name, tmp_path):
    generator = make_generator(name)
    generator.build()
    built = len(generator.weights)
    z = tf.random.normal((3, 6))
    images, maps = generator(z, return_attention_maps=True)
    assert len(generator.weights) == built
    size = GENERATORS[name]["image_size"]
    assert images.shape == (3, size, size, 3)
    assert images.dtype == "float32"
    for stage, heads, side in zip(
        maps, generator.num_heads, generator.resolutions, strict=True
    ):
        assert stage.shape == (3, heads, side**2)
    check_file_and_xla(generator, z, tmp_path)
    # Images do not depend on the others in the batch.
    np.testing.assert_allclose(generator(z[:1]), images[:1], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["pixel", "decoder"])
def test_mixed_precision_ends_in_float32(name):
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    generator = make_generator(name)
    z = tf.random.normal((3, 6))
    images = generator(z)
    assert images.dtype == "float32"
    assert generator.blocks[0].compute_dtype == "bfloat16"
    keras.mixed_precision.set_global_policy("float32")
    full = make_generator(name)
    full.build()
    full.set_weights(generator.get_weights())
    difference = np.abs(images - full(z)).max()
    # bfloat16 keeps 8 bits, and there are some thirty roundings.
    assert 0 < difference < 0.1 * np.abs(full(z)).max()


def test_decoder_uses_batch_statistics_in_training_only():
    generator = make_generator("decoder")
    z = tf.random.normal((3, 6))
    norm = generator.decoder[0].norm
    before = norm.moving_mean if norm.built else None
    assert before is None
    generator(z)
    np.testing.assert_array_equal(norm.moving_mean, np.zeros(6))
    generator(z, training=True)
    assert np.abs(norm.moving_mean).max() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 48}, "image_size=48 does not fit"),
        ({"image_size": 64}, "image_size=64 does not fit"),
        ({"num_heads": 3}, "num_heads=3 does not divide the width 1024"),
        ({"num_heads": (4, 4)}, "does not fit 3 stages"),
        ({"widths": (18, 8, 8), "num_heads": 2}, "must be divisible by 4"),
        ({"widths": ()}, r"widths=\(\)"),
        ({"latent_dim": 0}, "latent_dim=0 must be an integer of at least 1"),
        ({"output_head": "dense"}, "output_head='dense' is not one of"),
        ({"output_head": "decoder", "image_size": 64}, "decoder_widths="),
        ({"output_head": "patch", "image_size": 512}, "last width divisible by 256"),
        ({"decoder_widths": (8,)}, "decoder_widths="),
        ({"lee_convolution": False, "widths": (64, 16, 8)}, "lee_convolution=False"),
        ({"attention": "dot"}, "attention='dot' is not one of"),
        ({"score": "dot"}, "score='dot' is not one of"),
    ],
)
def test_generator_sizes_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        Generator(**arguments).build()


@pytest.mark.parametrize(
    "latents", [tf.zeros((2, 7)), tf.zeros((6,)), tf.zeros((2, 6), tf.int32)]
)
def test_latents_of_another_form(latents):
    with pytest.raises(ValueError, match="latents must be float of the shape"):
        make_generator("pixel")(latents)
