"""Layers and networks run on Keras' other backends and give the same images."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from lada_tf.models import Discriminator
from tests.models.network_checks import make_discriminator, make_generator

RUN_THERE = """
import sys, keras, lada_tf, numpy as np
from lada_tf.layers import DiffAugment

assert keras.backend.backend() == "jax"
folder = sys.argv[1]
arrays = np.load(f"{folder}/inputs.npz")
for name in ("decoder", "patch", "lada"):
    network = keras.saving.load_model(f"{folder}/{name}.keras")
    images = network.predict(arrays[name], verbose=0)  # one graph: minutes less
    np.save(f"{folder}/{name}.npy", images)
assert DiffAugment(seed=0)(arrays["lada"]).shape == arrays["lada"].shape
"""


@pytest.mark.slow
def test_jax_gives_the_same_images_and_logits(tmp_path):
    networks = {
        "decoder": make_generator("decoder"),
        "patch": make_generator("patch"),
        "lada": make_discriminator("lada"),
    }
    inputs, expected = {}, {}
    for name, network in networks.items():
        shape = (2, 32, 32, 3) if isinstance(network, Discriminator) else (2, 6)
        inputs[name] = tf.random.normal(shape).numpy()
        expected[name] = network(inputs[name])
        network.save(tmp_path / f"{name}.keras")
    np.savez(tmp_path / "inputs.npz", **inputs)
    subprocess.run(
        [sys.executable, "-c", RUN_THERE, tmp_path],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        check=True,
    )
    for name, value in expected.items():
        found = np.load(tmp_path / f"{name}.npy")
        scale = np.abs(value).max()
        assert found == pytest.approx(np.asarray(value), abs=1e-4 * float(scale)), name
