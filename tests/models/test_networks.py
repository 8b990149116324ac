"""Generator and Discriminator: sizes, heads, serialization, XLA, precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from lada_tf.models import Discriminator, Generator
from lada_tf.models.networks import in_precision

GENERATORS = {
    "pixel": {"image_size": 32, "widths": (16, 8, 8)},
    "patch": {"image_size": 64, "widths": (16, 8, 8), "output_head": "patch"},
    "decoder": {
        "image_size": 128,
        "widths": (16, 8, 8),
        "output_head": "decoder",
        "decoder_widths": (6, 4),
        "num_heads": (1, 2, 4),
        "mlp_dim": (8, 12, 20),
        "score": "per_head",
    },
    "small_base": {"image_size": 16, "widths": (16, 8, 8), "base_resolution": 4},
    "four_stages": {"image_size": 64, "widths": (32, 16, 8, 8)},
    "ablated": {
        "image_size": 32,
        "widths": (64, 16, 4),
        "attention": "swin",
        "norm": "layer_norm",
        "mlp_residual": True,
        "lee_convolution": False,
    },
}
DISCRIMINATORS = {
    "lada": {"image_size": 32, "widths": (4, 8), "out_widths": (8, 12)},
    "lada64": {"image_size": 64, "widths": (4, 6, 8), "score": "per_head"},
    "fastformer": {"image_size": 32, "widths": (4, 8), "attention": "fastformer"},
    "conv": {
        "image_size": 32,
        "widths": (4, 8),
        "attention": "conv",
        "batch_norm": False,
    },
}


def make_generator(name, **arguments):
    return Generator(
        **{"latent_dim": 6, "mlp_dim": 16, **GENERATORS[name], **arguments}
    )


def make_discriminator(name):
    return Discriminator(**{"mlp_dim": 16, **DISCRIMINATORS[name]})


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
    # Images do not depend on their neighbours in the batch.
    np.testing.assert_allclose(generator(z[:1]), images[:1], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_discriminator(name, tmp_path):
    discriminator = make_discriminator(name)
    discriminator.build()
    built = len(discriminator.weights)
    size = discriminator.image_size
    x = tf.random.uniform((3, size, size, 3), -1, 1)
    logits = discriminator(x)
    assert len(discriminator.weights) == built
    assert logits.shape == (3, 25)
    assert logits.dtype == "float32"
    check_file_and_xla(discriminator, x, tmp_path)


def check_file_and_xla(network, x, folder):
    expected = network(x)
    network.save(folder / "network.keras")
    loaded = keras.saving.load_model(folder / "network.keras")
    assert loaded.get_config() == network.get_config()
    np.testing.assert_array_equal(loaded(x), expected)
    compiled = tf.function(network, jit_compile=True)
    # XLA sums in another order: relative to the values' scale.
    scale = np.abs(expected).max()
    np.testing.assert_allclose(compiled(x), expected, atol=1e-4 * scale)
    symbol = keras.Input(x.shape[1:])
    assert network(symbol).shape == (None, *expected.shape[1:])


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
    # bfloat16 keeps 8 bits; some thirty roundings lie on the way.
    assert 0 < difference < 0.1 * np.abs(full(z)).max()


@pytest.mark.parametrize("trained_in", ["float32", "mixed_bfloat16"])
def test_a_copy_in_another_precision(trained_in):
    generator = make_generator("decoder", dtype=trained_in)
    generator.build()
    z = tf.random.normal((3, 6))
    full = in_precision(generator, "float32")
    assert (full is generator) == (trained_in == "float32")
    half = in_precision(generator, "bfloat16")
    assert {weight.dtype for weight in half.blocks[0].weights} == {"bfloat16"}
    images, maps = half(z, return_attention_maps=True)
    assert {tensor.dtype for tensor in (images, *maps)} == {tf.float32}
    difference = np.abs(images - full(z)).max()
    assert 0 < difference < 0.1 * np.abs(full(z)).max()


def test_decoder_normalizes_by_the_batch_in_training_only():
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
        ({"num_heads": 3}, "num_heads 3 does not divide the width 1024"),
        ({"num_heads": (4, 4)}, "for 3 stages"),
        ({"widths": (18, 8, 8), "num_heads": 2}, "pixel shuffle needs widths by 4"),
        ({"widths": ()}, "widths is empty"),
        ({"output_head": "dense"}, "output_head='dense' is not one of"),
        ({"output_head": "decoder", "image_size": 64}, "decoder head needs them"),
        ({"output_head": "patch", "image_size": 512}, "256 divides, not 64"),
        ({"decoder_widths": (8,)}, "the others take none"),
        ({"lee_convolution": False, "widths": (64, 16, 8)}, "a quarter of the one"),
        ({"attention": "dot"}, "attention='dot' is not one of"),
        ({"score": "dot"}, "score='dot' is not one of"),
    ],
)
def test_generator_sizes_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        Generator(**arguments).build()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 64}, "image_size=64 does not fit 2 widths"),
        ({"image_size": 16, "widths": (8,)}, "does not fit 1 widths"),
        ({"attention": "mlp"}, "attention='mlp' is not one of"),
        ({"num_heads": 3}, "num_heads 3 does not divide the width 256"),
        ({"out_widths": (8,)}, "should be two widths"),
    ],
)
def test_discriminator_sizes_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        Discriminator(**arguments)
