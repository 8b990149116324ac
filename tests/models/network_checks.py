"""Small networks of every kind, and checks that each must pass."""

import keras
import numpy as np
import tensorflow as tf

from lada_tf.models import Discriminator, Generator

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
