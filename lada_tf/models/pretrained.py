"""A trained LadaGAN as a directory: configuration and weights, without optimizers.

config.json           `LadaGAN.get_config()`, and how long it was trained
generator.keras       the EMA generator
discriminator.keras

Files from strangers are safe to load: names of code are refused, and a configuration
cannot ask for more weights than its file contains.
"""

import contextlib
import dataclasses
import json
import math
import os
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
from keras.src.backend.common import global_state  # Keras exports neither
from keras.src.saving.serialization_lib import in_safe_mode

from lada_tf.errors import UserError
from lada_tf.io import read_json, write_json
from lada_tf.layers.attentions import trusting
from lada_tf.models.presets import Preset, setting_error

CONFIG = "config.json"
NETWORKS = ("generator", "discriminator")
MAX_CONFIG_BYTES = 2**20


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
    cls: type[keras.Model],
    directory: str | os.PathLike,
    custom_objects: Mapping[str, Any] | None = None,
    safe_mode: bool = True,
) -> keras.Model:
    """Return the `LadaGAN` of such a directory, see `LadaGAN.from_pretrained`."""
    directory = Path(directory)
    config = read_json(directory / CONFIG)
    try:
        networks = {
            name: load_network(
                directory / f"{name}.keras",
                config["config"][name],
                custom_objects,
                safe_mode,
            )
            for name in NETWORKS
        }
        for field in dataclasses.fields(Preset):
            value = config["config"].get(field.name)
            if value is not None and (error := setting_error(field, value)):
                raise ValueError(f"{field.name}={value}: {error}")
        gan = cls(**{**config["config"], **networks})
        gan.step_counter.assign(config["steps"])
        gan.image_counter.assign(config["images_seen"])
    except UserError:
        raise
    except Exception as error:  # TensorFlow and Keras have no type for wrong values
        raise UserError(f"{directory}: not a pretrained LadaGAN ({error})") from error
    return gan


def load_network(
    file: str | os.PathLike,
    config: dict | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    safe_mode: bool = True,
) -> keras.Model:
    """Load a `.keras` file of a network.

    Args:
        file: the file.
        config: the network's serialized config. By default that of the file.
        custom_objects, safe_mode: as in `keras.saving.load_model`.

    Raises:
        UserError: if the file is damaged, names code to import, or lacks weights.
    """
    try:
        if config is None:
            with zipfile.ZipFile(file) as archive, archive.open(CONFIG) as stream:
                config = json.loads(stream.read(MAX_CONFIG_BYTES))
        with trusting(custom_objects, safe_mode):
            _check_imports(config)
            with weights_of_at_most(os.path.getsize(file)):
                network = keras.saving.deserialize_keras_object(
                    {**config, "compile_config": None}
                )
            if not isinstance(network, keras.Model):
                raise TypeError("it is not a Keras model")
            network.load_weights(file)
    except Exception as error:  # zipfile, h5py and Keras raise many types
        raise UserError(f"{file}: cannot be loaded: {error}") from error
    return network


def _check_imports(config: dict) -> None:
    """Refuse modules that Keras would import even in its safe mode."""
    names = re.findall(r'"module": "(keras_[^"]*)"', json.dumps(config))
    if in_safe_mode() is not False and (unknown := set(names) - set(sys.modules)):
        raise ValueError(f"it names a module to import: {unknown.pop()}")


@contextlib.contextmanager
def weights_of_at_most(size: int) -> Iterator[None]:
    """Create the weights of new models at the end of the body, if they fit in a file.

    Args:
        size: size of the file in bytes. A weight has at least one byte.

    Raises:
        ValueError: if there are more weights.
    """
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield  # Keras defers the initialization of weights
        weights = global_state.get_global_attribute("uninitialized_variables") or []
        count = sum(math.prod(weight.shape) for weight in weights)
        if count > size:
            raise ValueError(
                f"the configuration has {count:,} weights, but the file only {size:,} "
                "bytes"
            )
        with keras.StatelessScope():  # initializes them at its end
            pass
    finally:
        global_state.set_global_attribute("uninitialized_variables", [])
