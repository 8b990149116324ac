"""Start a new run from trained weights: `train --init_from`."""

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from lada_tf.errors import UserError
from lada_tf.models import PRESETS, LadaGAN, Preset
from lada_tf.models.networks import (
    DISCRIMINATOR_FIELDS,
    GENERATOR_FIELDS,
    make_networks,
)
from lada_tf.models.presets import HYPERPARAMETERS
from lada_tf.training.checkpoints import find_checkpoint
from lada_tf.training.configuration import REQUIRED, flagfile_text, parse_settings
from lada_tf.training.load import find_run
from lada_tf.training.run_directory import FREE_SETTINGS, RunDirectory
from lada_tf.training.sources import has_discriminator, load_source

NETWORKS = ("generator", "discriminator", "ema_generator")
INITIALIZERS = ("g_initializer", "d_initializer", "icnr")  # without effect on a copy
DATA_FIELDS = ("data", "resize", "subset")


@dataclasses.dataclass(frozen=True, eq=False)
class Parent:
    """A trained model from which a new run starts.

    Attributes:
        source: name or path of the model, see `lada_tf.training.sources`.
        fields: the known fields of its `Preset`.
        architecture: the fields on which the shapes of its weights depend.
        settings: the settings of its training, as text by flag name.
        images_seen: number of real images that it has seen.
        weights: the values of all weights of each of `NETWORKS`.
    """

    source: str
    fields: Mapping[str, Any]
    architecture: Mapping[str, Any]
    settings: Mapping[str, str]
    images_seen: int
    weights: Mapping[str, list[np.ndarray]]

    @classmethod
    def load(cls, source: str | os.PathLike) -> "Parent":
        """Load a parent from a run, a directory, the Hub, or the package.

        Args:
            source: see `lada_tf.training.sources`.

        Raises:
            UserError: if there is no such source, or it cannot be loaded.
        """
        source = os.fspath(source)
        try:
            gan = load_source(source)
            if run := find_run(source):
                directory = RunDirectory(run.path)
                fields = known = dataclasses.asdict(directory.read_preset())
                stored = directory.settings()
            else:
                fields, known, stored = _fields(gan), _hyperparameters(gan), {}
        except UserError as error:
            reason = str(error).removeprefix(f"{source}: ")
            raise UserError(f"init_from={source}: {reason}") from error
        return cls(
            source,
            fields,
            _architecture(gan.generator, gan.discriminator),
            parse_settings(flagfile_text(known)) | stored,
            gan.images_seen,
            {name: getattr(gan, name).get_weights() for name in NETWORKS},
        )

    def preset(self, **changes: Any) -> Preset:
        """Return the parent's configuration with changes.

        With other data, `resize` and `subset` have their defaults. If the parent is not
        a run, `batch_size` and `total_images` are those of the preset with the same
        networks.

        Raises:
            UserError: if a required field is unknown.
        """
        fields = dict(self.fields)
        if changes.get("data", fields.get("data")) != fields.get("data"):
            fields = {n: v for n, v in fields.items() if n not in DATA_FIELDS}
        fields |= changes
        if missing := [name for name in REQUIRED if name not in fields]:
            raise UserError(
                f"init_from={self.source}: this model does not know "
                f"{', '.join(missing)}. Set {missing[0]}=..."
            )
        return Preset(**fields)

    def check_fits(self, preset: Preset) -> None:
        """Check that a new run with this preset can start from these weights.

        Raises:
            UserError: if the networks differ, with the names of all fields that do; or
                if `freeze_d` would freeze a discriminator that the source lacks.
        """
        size = self.architecture["image_size"]
        if preset.image_size != size:
            raise UserError(
                f"init_from={self.source}: it generates {size}×{size} images. Leave "
                f"out image_size={preset.image_size}, or choose a model of that size"
            )
        ours = _architecture(*make_networks(preset))
        differences = [
            f"{name}={_text(value)} (source: {_text(self.architecture.get(name))})"
            for name, value in ours.items()
            if value != self.architecture.get(name)
        ]
        if differences:
            raise UserError(
                f"init_from={self.source}: its networks differ: "
                f"{', '.join(differences)}. Leave out these settings and the preset"
            )
        if preset.freeze_d and not has_discriminator(self.source):
            raise UserError(
                f"freeze_d={preset.freeze_d}: init_from={self.source} has no "
                "discriminator, so random stages would be frozen. Set freeze_d=0"
            )

    def copy_to(self, gan: LadaGAN) -> None:
        """Copy the weights to a LadaGAN. Its optimizers and counters do not change."""
        for name, values in self.weights.items():
            for weight, value in zip(getattr(gan, name).weights, values, strict=True):
                weight.assign(value)

    def record(self, settings: Mapping[str, Any]) -> str:
        """Return the origin of a new run as JSON, for its flags.cfg.

        It contains the checksum of the weights and the changed settings.

        Args:
            settings: the settings of the new run by flag name.
        """
        ignored = {*FREE_SETTINGS, "init_from"} - {"data", "total_images"}
        new = parse_settings(flagfile_text(settings))
        changed = {
            name: [old, new[name]]
            for name, old in self.settings.items()
            if name in new and name not in ignored and new[name] != old
        }
        facts = {"sha256": self.sha256, "images_seen": self.images_seen}
        return json.dumps(facts | {"changed": changed})

    @functools.cached_property
    def sha256(self) -> str:
        """The checksum of all weights, in the order of `NETWORKS`."""
        checksum = hashlib.sha256()
        for name in NETWORKS:
            for value in self.weights[name]:
                checksum.update(np.ascontiguousarray(value).data)
        return checksum.hexdigest()

    def __str__(self) -> str:
        return (
            f"{self.source} ({self.images_seen:,} images seen, SHA-256 "
            f"{self.sha256[:12]}…)"
        )


def open_parent(
    init_from: str | os.PathLike | Parent | None, directory: RunDirectory, seed: int
) -> Parent | None:
    """Return the parent of a new run, or None if the run resumes or has no parent.

    Args:
        init_from: a parent or its source. If None or empty, the run has no parent.
        directory: the run directory. A run with a checkpoint resumes.
        seed: seed of the new discriminator, if the source has no discriminator.

    Raises:
        UserError: see `Parent.load`.
    """
    if not init_from or find_checkpoint(directory.checkpoints):
        return None
    if isinstance(init_from, Parent):
        return init_from
    keras.utils.set_random_seed(seed)  # the same in all workers
    return Parent.load(init_from)


def _fields(gan: LadaGAN) -> dict[str, Any]:
    """Return the fields of `Preset` that a LadaGAN knows, see `Parent.preset`."""
    architecture = _architecture(gan.generator, gan.discriminator)
    fields = _hyperparameters(gan)
    for preset in PRESETS.values():
        if _architecture(*make_networks(preset)) == architecture:
            ours = dataclasses.asdict(preset)
            others = {n: v for n, v in ours.items() if n not in DATA_FIELDS}
            return others | architecture | fields
    return architecture | fields


def _hyperparameters(gan: LadaGAN) -> dict[str, Any]:
    fields = {name: getattr(gan, name) for name in HYPERPARAMETERS}
    return fields | {"loss": gan.adversarial_loss, "augment": gan.augment_policy}


def _architecture(generator: keras.Model, discriminator: keras.Model) -> dict[str, Any]:
    """Return the fields of `Preset` on which the weights of networks depend."""
    found = {"image_size": generator.image_size}
    for network, names in (
        (generator, GENERATOR_FIELDS),
        (discriminator, DISCRIMINATOR_FIELDS),
    ):
        config = network.get_config()
        for argument, name in names.items():
            value = config.get(argument)
            if name not in INITIALIZERS:
                found[name] = tuple(value) if isinstance(value, list) else value
    return found


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
