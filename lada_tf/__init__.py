"""LadaGAN: image GANs of linear additive-attention Transformers, in Keras 3."""

from importlib.metadata import version

from lada_tf import evaluation, layers
from lada_tf.models import Discriminator, Generator, LadaGAN
from lada_tf.training.official_checkpoint import load_official_checkpoint

__all__ = [
    "Discriminator",
    "Generator",
    "LadaGAN",
    "evaluation",
    "layers",
    "load_official_checkpoint",
]
__version__ = version("lada_tf")
