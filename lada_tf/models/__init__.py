"""Generator, discriminator, and the pair that trains."""

from lada_tf.models.discriminator import Discriminator
from lada_tf.models.generator import Generator
from lada_tf.models.lada_gan import LadaGAN
from lada_tf.models.presets import PRESETS, Preset, get_preset

__all__ = [
    "PRESETS",
    "Discriminator",
    "Generator",
    "LadaGAN",
    "Preset",
    "get_preset",
]
