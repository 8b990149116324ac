"""Copies of a generator in another precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from lada_tf.layers import BatchNormLeakyReLU
from lada_tf.models import get_preset
from lada_tf.models.networks import copy_generator, keras_defaults, make_networks
from tests.models.network_checks import make_generator
from tests.small import SMALL


@pytest.mark.parametrize("trained_in", ["float32", "mixed_bfloat16"])
def test_a_copy_in_another_precision(trained_in):
    generator = make_generator("decoder", dtype=trained_in)
    generator.build()
    z = tf.random.normal((3, 6))
    full = copy_generator(generator, "float32")
    half = copy_generator(generator, "bfloat16")
    assert {weight.dtype for weight in half.blocks[0].weights} == {"bfloat16"}
    images, maps = half(z, return_attention_maps=True)
    assert {tensor.dtype for tensor in (images, *maps)} == {tf.float32}
    difference = np.abs(images - full(z)).max()
    assert 0 < difference < 0.1 * np.abs(full(z)).max()


@pytest.mark.parametrize("sync_batch_norm", [False, True])
def test_sync_batch_norm_reaches_every_layer(sync_batch_norm):
    preset = get_preset("tiny", **SMALL)
    _, discriminator = make_networks(preset, "float32", sync_batch_norm)
    layers = discriminator._flatten_layers()
    norms = [layer for layer in layers if isinstance(layer, BatchNormLeakyReLU)]
    assert {norm.synchronized for norm in norms} == {sync_batch_norm}


def test_keras_defaults():
    def defaults():
        config = keras.config
        return config.dtype_policy().name, config.floatx(), config.image_data_format()

    before = defaults()
    with keras_defaults():
        keras.config.set_dtype_policy("mixed_bfloat16")
        keras.config.set_floatx("float64")
        keras.config.set_image_data_format("channels_first")
        theirs = defaults()
        with keras_defaults():
            assert defaults() == ("float32", "float32", "channels_last")
        assert defaults() == theirs
    assert defaults() == before
