"""LadaGAN: image GANs of linear additive-attention Transformers, in Keras 3."""

import importlib
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from lada_tf.runtime import without_collection

__all__ = [
    "Discriminator",
    "Generator",
    "LadaGAN",
    "data",
    "evaluation",
    "layers",
    "load_generator",
    "load_official_checkpoint",
    "load_run",
    "models",
    "serving",
    "training",
]
try:
    __version__ = version("lada_tf")
except PackageNotFoundError:  # a checkout on the path, not installed
    __version__ = "0+unknown"

_HOMES = {
    "Discriminator": "lada_tf.models",
    "Generator": "lada_tf.models",
    "LadaGAN": "lada_tf.models",
    "load_generator": "lada_tf.training",
    "load_official_checkpoint": "lada_tf.training",
    "load_run": "lada_tf.training",
}


def _is_command() -> bool:
    """Whether this process is `python -m lada_tf.…` or `lada-tf …`.

    Commands set up TensorFlow's logging before it is imported (`lada_tf.app`).
    """
    words = sys.orig_argv
    module = words[words.index("-m") + 1] if "-m" in words[:-1] else ""
    return module.startswith("lada_tf") or "lada-tf" in [
        Path(w).name for w in words[:2]
    ]


def __getattr__(name: str):
    """Loads what costs seconds to import when it is first used."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in __all__:
        return importlib.import_module(f"lada_tf.{name}")
    raise AttributeError(f"module 'lada_tf' has no attribute {name!r}")


if TYPE_CHECKING or not _is_command():
    # At once: `keras.saving.load_model` has to know the classes.
    with without_collection():
        from lada_tf import layers, models
        from lada_tf.models import Discriminator, Generator, LadaGAN

if TYPE_CHECKING:
    from lada_tf import data, evaluation, serving, training
    from lada_tf.training import load_generator, load_official_checkpoint, load_run
