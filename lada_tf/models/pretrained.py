"""A trained LadaGAN as a directory: configuration and weights, without optimizers.

config.json           `LadaGAN.get_config()`, and how long it was trained
generator.keras       the EMA generator
discriminator.keras
"""

import os
from pathlib import Path

import keras

from lada_tf.errors import UserError
from lada_tf.io import read_json, write_json

CONFIG = "config.json"


def save_pretrained(gan: keras.Model, directory: str | os.PathLike) -> None:
    """Write a `LadaGAN` into an existing, empty directory."""
    directory = Path(directory)
    config = {
        "library_name": "lada_tf",
        "config": gan.get_config(),
        "steps": gan.steps,
        "images_seen": gan.images_seen,
    }
    write_json(directory / CONFIG, config)
    gan.ema_generator.save(directory / "generator.keras")
    gan.discriminator.save(directory / "discriminator.keras")


def load_pretrained(
    cls: type[keras.Model], directory: str | os.PathLike
) -> keras.Model:
    """Return the `LadaGAN` of such a directory, see `LadaGAN.from_pretrained`."""
    directory = Path(directory)
    try:
        config = read_json(directory / CONFIG)
        gan = cls.from_config(config["config"])
        generator = _weights(directory / "generator.keras")
        gan.generator.set_weights(generator)
        gan.ema_generator.set_weights(generator)
        gan.discriminator.set_weights(_weights(directory / "discriminator.keras"))
        gan.step_counter.assign(config["steps"])
        gan.image_counter.assign(config["images_seen"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{directory}: not a pretrained LadaGAN ({error})") from error
    return gan


def _weights(file: Path):
    return keras.saving.load_model(file, compile=False).get_weights()
