"""Save and load a trained LadaGAN as a directory, without optimizers.

config.json                Keras' config of the EMA generator. The key "lada_tf" has the
                           config of the `LadaGAN`, its steps and its images seen
model.weights.h5           weights of the EMA generator
discriminator.weights.h5   weights of the discriminator; can be missing

`keras.saving.load_model` loads the EMA generator from the first two files.

Files from strangers are safe to load: names of code are refused, and a configuration
cannot request more weights than its file contains.
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
import numpy as np
from absl import logging
from keras.src.backend.common import global_state  # Keras exports neither
from keras.src.saving.serialization_lib import in_safe_mode

from lada_tf.errors import UserError
from lada_tf.io import read_json, write_json
from lada_tf.layers.attentions import trusting
from lada_tf.models.presets import Preset, setting_error

CONFIG = "config.json"
OURS = "lada_tf"  # the key of our part in config.json
WEIGHTS = {
    "generator": "model.weights.h5",
    "discriminator": "discriminator.weights.h5",
}
FILES = (CONFIG, *WEIGHTS.values())
DTYPES = ("float32", "float16")
# Directories of models in this package, by name, and the presets that have one.
BUNDLED = Path(__file__).with_name("bundled")
BUNDLED_PRESETS = {"tiny": "portraits"}
MAX_CONFIG_BYTES = 2**20


def save_pretrained(
    gan: keras.Model, directory: str | os.PathLike, dtype: str = "float32"
) -> None:
    """Write a `LadaGAN` into an existing, empty directory.

    Args:
        gan: the model.
        directory: path of the directory.
        dtype: dtype of the stored weights, one of `DTYPES`. Loading converts them back
            to float32.
    """
    directory = Path(directory)
    ours = {
        "config": gan.get_config(),
        "steps": gan.steps,
        "images_seen": gan.images_seen,
    }
    config = keras.saving.serialize_keras_object(gan.ema_generator)
    write_json(directory / CONFIG, {**config, OURS: ours})
    networks = {"generator": gan.ema_generator, "discriminator": gan.discriminator}
    for name, network in networks.items():
        file = directory / WEIGHTS[name]
        network.save_weights(file)
        if dtype == "float16":
            _store_as_float16(file)


def _store_as_float16(file: Path) -> None:
    """Convert the float32 weights of an HDF5 file, if they fit into float16."""
    import h5py  # not needed for training

    temporary = file.with_name("half.h5")
    with h5py.File(file) as source, h5py.File(temporary, "w") as target:

        def copy(name, item):
            if isinstance(item, h5py.Group):
                target.require_group(name)
            else:
                values = item[()]
                with np.errstate(over="ignore"):
                    half = values.astype("float16")
                fits = item.dtype == "float32" and np.isfinite(half).all()
                target[name] = half if fits else values
            target[name].attrs.update(item.attrs)

        source.visititems(copy)
    temporary.replace(file)


def bundled_names() -> list[str]:
    """Return the names of the models that come with this package."""
    return sorted(file.parent.name for file in BUNDLED.glob(f"*/{CONFIG}"))


def bundled_directory(name: str) -> Path:
    """Return the directory of a model that comes with this package.

    Raises:
        UserError: if there is no such model.
    """
    if name not in bundled_names():
        known = ", ".join(bundled_names()) or "none"
        raise UserError(
            f"{name}: no such model in this package. Expected one of: {known}"
        )
    return BUNDLED / name


def load_pretrained(
    cls: type[keras.Model],
    directory: str | os.PathLike,
    custom_objects: Mapping[str, Any] | None = None,
    safe_mode: bool = True,
) -> keras.Model:
    """Load the `LadaGAN` in a directory, see `LadaGAN.from_pretrained`."""
    directory = Path(directory)
    ours = _read_config(directory)[OURS]
    files = {name: directory / file for name, file in WEIGHTS.items()}
    try:
        config = ours["config"]
        trusted = custom_objects, safe_mode
        networks = {
            "generator": load_network(files["generator"], config["generator"], *trusted)
        }
        if files["discriminator"].exists():
            networks["discriminator"] = load_network(
                files["discriminator"], config["discriminator"], *trusted
            )
        else:
            logging.warning(
                "%s: no %s, so the discriminator starts untrained",
                directory,
                WEIGHTS["discriminator"],
            )
            # The generator's file limits the size: both networks are similarly large.
            networks["discriminator"] = _new_network(
                config["discriminator"], os.path.getsize(files["generator"]), *trusted
            )
        for field in dataclasses.fields(Preset):
            value = config.get(field.name)
            if value is not None and (error := setting_error(field, value)):
                raise ValueError(f"{field.name}={value}: {error}")
        gan = cls(**{**config, **networks})
        gan.step_counter.assign(ours["steps"])
        gan.image_counter.assign(ours["images_seen"])
    except UserError:
        raise
    except Exception as error:  # Keras raises many types for wrong values
        raise UserError(f"{directory}: not a pretrained LadaGAN ({error})") from error
    return gan


def load_pretrained_generator(
    directory: str | os.PathLike,
    custom_objects: Mapping[str, Any] | None = None,
    safe_mode: bool = True,
) -> keras.Model:
    """Load only the EMA generator in a directory, in float32.

    Raises:
        UserError: see `LadaGAN.from_pretrained`.
    """
    directory = Path(directory)
    content = _read_config(directory)
    file = directory / WEIGHTS["generator"]
    generator = load_network(file, content, custom_objects, safe_mode)
    if not hasattr(generator, "latent_dim"):
        raise UserError(f"{directory}: {CONFIG} does not describe a generator")
    return generator


def _read_config(directory: Path) -> dict:
    content = read_json(directory / CONFIG)
    if OURS not in content:
        raise UserError(f"{directory}: {CONFIG} does not describe a LadaGAN")
    return content


def load_network(
    file: str | os.PathLike,
    config: dict | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    safe_mode: bool = True,
) -> keras.Model:
    """Load a network from its weights.

    Args:
        file: a `.keras` or `.weights.h5` file.
        config: the network's serialized config. By default, that in the `.keras` file.
        custom_objects, safe_mode: as in `keras.saving.load_model`.

    Raises:
        UserError: if the file is damaged, names code to import, or has too few weights.
    """
    try:
        if config is None:
            with zipfile.ZipFile(file) as archive, archive.open(CONFIG) as stream:
                config = json.loads(stream.read(MAX_CONFIG_BYTES))
        network = _new_network(
            config, os.path.getsize(file), custom_objects, safe_mode, initialize=False
        )
        network.load_weights(file)
    except Exception as error:  # zipfile, h5py and Keras raise many types
        raise UserError(f"{file}: cannot be loaded: {error}") from error
    return network


def _new_network(
    config: dict,
    size: int,
    custom_objects: Mapping[str, Any] | None,
    safe_mode: bool,
    initialize: bool = True,
) -> keras.Model:
    """Return a network of a config. Raise ValueError for more than `size` weights."""
    with trusting(custom_objects, safe_mode):
        _check_imports(config)
        with weights_of_at_most(size, initialize):
            network = keras.saving.deserialize_keras_object(
                {**config, "compile_config": None}
            )
    if not isinstance(network, keras.Model):
        raise TypeError("the configuration is not that of a Keras model")
    return network


def _check_imports(config: dict) -> None:
    """Refuse modules that Keras would import even in its safe mode."""
    names = re.findall(r'"module": "(keras_[^"]*)"', json.dumps(config))
    if in_safe_mode() is not False and (unknown := set(names) - set(sys.modules)):
        raise ValueError(f"the configuration names code to import: {unknown.pop()}")


@contextlib.contextmanager
def weights_of_at_most(size: int, initialize: bool = True) -> Iterator[None]:
    """Create the weights of new models at the end of the body, if they fit in a file.

    Args:
        size: size of the file in bytes. A weight has at least one byte.
        initialize: whether to use the initializers. If False, the weights are zeros,
            which takes less time.

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
        if not initialize:
            for weight in weights:
                weight._initializer = keras.initializers.Zeros()
        with keras.StatelessScope():  # initializes them at its end
            pass
    finally:
        global_state.set_global_attribute("uninitialized_variables", [])
