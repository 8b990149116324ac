"""LadaGAN: image GANs of linear additive-attention Transformers, in Keras 3.

The names below are loaded when first used, so that a command can set up its logging
(and answer `--help`) before TensorFlow starts.
"""

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lada_tf import evaluation, layers
    from lada_tf.models import Discriminator, Generator, LadaGAN
    from lada_tf.training import load_official_checkpoint, load_run

_HOMES = {
    "Discriminator": "lada_tf.models",
    "Generator": "lada_tf.models",
    "LadaGAN": "lada_tf.models",
    "load_official_checkpoint": "lada_tf.training",
    "load_run": "lada_tf.training",
}
_MODULES = ("data", "evaluation", "layers", "models", "training")

__all__ = [
    "Discriminator",
    "Generator",
    "LadaGAN",
    "evaluation",
    "layers",
    "load_official_checkpoint",
    "load_run",
]
__version__ = version("lada_tf")


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"lada_tf.{name}")
    raise AttributeError(f"module 'lada_tf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})
