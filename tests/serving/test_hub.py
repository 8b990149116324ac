"""The Hub's layout, there and back, and its generator on another backend."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from huggingface_hub import ModelCard as HubCard

from lada_tf import LadaGAN
from lada_tf.errors import UserError
from tests import runner

LATENTS = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(run_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "small"
    runner.succeed(
        "lada_tf.export", f"--run_dir={run_dir}", "--hub_layout", f"--output={folder}"
    )
    return folder


def test_there_and_back(folder, gan):
    again = LadaGAN.from_pretrained(folder)
    unnamed = {"name": None}  # Keras numbers the models of a process
    assert again.get_config() | unnamed == gan.get_config() | unnamed
    assert again.images_seen == gan.images_seen
    pairs = [
        (again.generator, gan.ema_generator),
        (again.ema_generator, gan.ema_generator),
        (again.discriminator, gan.discriminator),
    ]
    for ours, theirs in pairs:
        for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    again.compile()
    again.train_on_batch(np.zeros((4, 32, 32, 3), np.float32))
    assert again.images_seen == gan.images_seen + 4


def test_the_hub_reads_the_card(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "README.md",
        "config.json",
        "discriminator.keras",
        "generator.keras",
    }
    card = HubCard.load(folder / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.pipeline_tag == "unconditional-image-generation"
    assert "LadaGAN.from_pretrained(folder)" in card.text


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(UserError, match="no pretrained LadaGAN"):
        LadaGAN.from_pretrained(tmp_path)


SAMPLE = """
import sys
import keras, lada_tf, numpy as np
assert keras.backend.backend() == "jax"
file, latents, output = sys.argv[1:]
images = keras.saving.load_model(file)(np.load(latents))
np.save(output, keras.ops.convert_to_numpy(images))
"""


def test_the_generator_samples_on_jax(folder, tmp_path):
    np.save(tmp_path / "latents.npy", LATENTS)
    paths = [folder / "generator.keras", tmp_path / "latents.npy", tmp_path / "x.npy"]
    subprocess.run(
        [sys.executable, "-c", SAMPLE, *paths],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        check=True,
    )
    expected = keras.saving.load_model(paths[0])(LATENTS)
    np.testing.assert_allclose(np.load(paths[2]), expected, rtol=0, atol=1e-5)
