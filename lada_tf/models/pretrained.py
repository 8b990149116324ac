"""A trained LadaGAN as a directory: configuration and weights, without optimizers.

config.json           `LadaGAN.get_config()`, and how long it was trained
generator.keras       the EMA generator
discriminator.keras
"""

import json
import os
from pathlib import Path

import keras

from lada_tf.errors import UserError

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
    (directory / CONFIG).write_text(json.dumps(config, indent=1) + "\n")
    gan.ema_generator.save(directory / "generator.keras")
    gan.discriminator.save(directory / "discriminator.keras")


def load_pretrained(
    cls: type[keras.Model], directory: str | os.PathLike
) -> keras.Model:
    """Return the `LadaGAN` of such a directory, see `LadaGAN.from_pretrained`."""
    directory = Path(directory)
    try:
        config = json.loads((directory / CONFIG).read_text())
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
