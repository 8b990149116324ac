"""Both networks, the LadaGAN that trains them, and presets."""

from typing import TYPE_CHECKING, Any

from lada_tf.models.discriminator import Discriminator
from lada_tf.models.generator import Generator
from lada_tf.models.presets import PRESETS, Preset, get_preset

if TYPE_CHECKING:
    from lada_tf.models.lada_gan import LadaGAN

__all__ = [
    "PRESETS",
    "Discriminator",
    "Generator",
    "LadaGAN",
    "Preset",
    "get_preset",
]


def __getattr__(name: str) -> Any:
    """Import LadaGAN on first use. Unlike the networks, it needs TensorFlow."""
    if name == "LadaGAN":
        from lada_tf.models.lada_gan import LadaGAN

        return LadaGAN
    raise AttributeError(f"module 'lada_tf.models' has no attribute {name!r}")
