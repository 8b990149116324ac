"""A trained LadaGAN as a folder to share: configuration and weights, no optimizers.

config.json           `LadaGAN.get_config()`, and how far it was trained
generator.keras       the averaged generator
discriminator.keras
"""

import json
from pathlib import Path

import keras

from lada_tf.errors import UserError

CONFIG = "config.json"


def save_pretrained(gan, folder) -> None:
    """Writes a `LadaGAN` into an existing, empty folder."""
    folder = Path(folder)
    config = {
        "library_name": "lada_tf",
        "config": gan.get_config(),
        "steps": gan.steps,
        "images_seen": gan.images_seen,
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n")
    gan.ema_generator.save(folder / "generator.keras")
    gan.discriminator.save(folder / "discriminator.keras")


def load_pretrained(cls, folder):
    """`LadaGAN.from_pretrained`."""
    folder = Path(folder)
    try:
        config = json.loads((folder / CONFIG).read_text())
        gan = cls.from_config(config["config"])
        generator = _weights(folder / "generator.keras")
        gan.generator.set_weights(generator)
        gan.ema_generator.set_weights(generator)
        gan.discriminator.set_weights(_weights(folder / "discriminator.keras"))
        gan.step_counter.assign(config["steps"])
        gan.image_counter.assign(config["images_seen"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}: no pretrained LadaGAN ({error})") from error
    return gan


def _weights(file: Path):
    return keras.saving.load_model(file, compile=False).get_weights()
