"""LadaGAN: image GANs with linear additive attention, in Keras 3."""

import importlib
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lada_tf.runtime import without_garbage_collection

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
    "sampling",
    "serving",
    "training",
]
try:
    __version__ = version("lada_tf")
except PackageNotFoundError:  # a source checkout that is not installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    """Import subpackages and their public functions on first use."""
    if name not in __all__:
        raise AttributeError(f"module 'lada_tf' has no attribute {name!r}")
    if name == "load_generator":
        return importlib.import_module("lada_tf.serving.loading").load_generator
    if name.startswith("load_"):
        return getattr(importlib.import_module("lada_tf.training"), name)
    if name[0].isupper():
        return getattr(importlib.import_module("lada_tf.models"), name)
    return importlib.import_module(f"lada_tf.{name}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def _is_command() -> bool:
    """Return True in a process of `lada-tf …` or `python -m lada_tf.…`."""
    # `python -m` sets sys.argv[0] to "-m" while it imports the module's package.
    return bool(sys.argv) and Path(sys.argv[0]).stem in ("-m", "lada-tf")


class _Model:
    """A stand-in for a model's class that `keras.saving.load_model` can look up.

    It imports the class when a file contains the model.
    """

    def __init__(self, name: str):
        self._name = name

    def from_config(self, config: dict) -> Any:
        return __getattr__(self._name).from_config(config)


if TYPE_CHECKING or not _is_command():
    # Register our classes with Keras. Commands import what they need, so they start
    # faster without this.
    with without_garbage_collection():
        import keras

        from lada_tf import layers
    for _name in ("Discriminator", "Generator", "LadaGAN"):
        keras.saving.get_custom_objects()[f"lada_tf>{_name}"] = _Model(_name)

if TYPE_CHECKING:
    from lada_tf import data, evaluation, models, sampling, serving, training
    from lada_tf.models import Discriminator, Generator, LadaGAN
    from lada_tf.serving.loading import load_generator
    from lada_tf.training import load_official_checkpoint, load_run
