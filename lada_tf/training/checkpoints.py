"""Checkpoints of a LadaGAN: written atomically and verified by checksum.

A checkpoint is a directory `images-<count>` with TensorFlow's files and a manifest.
`best-<count>` is the checkpoint with the lowest Fréchet distance so far.
"""

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl import logging

from lada_tf.errors import UserError
from lada_tf.io import (
    failure_reason,
    read_text,
    replacing_directory,
    sha256,
    write_json,
)
from lada_tf.models import LadaGAN

PREFIX = "state"
MANIFEST = "manifest.json"
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # TensorFlow's suffix of variable names


class Checkpoints:
    """Saves and restores everything that training changes.

    This includes both networks, the EMA generator, both optimizers, the metrics, and
    the counters of steps and images. All random numbers are functions of the counters.

    Args:
        path: directory of the checkpoints.
        gan: a compiled `LadaGAN`.
        keep: number of most recent checkpoints to keep.

    Attributes:
        rollbacks: int, number of rollbacks of the run so far. Saved too.
    """

    def __init__(self, path: str | os.PathLike, gan: LadaGAN, keep: int = 2):
        self.path = Path(path)
        self.gan = gan
        self.keep = keep
        self.rollbacks = 0
        variables = {
            "generator": gan.generator.weights,
            "ema_generator": gan.ema_generator.weights,
            "discriminator": gan.discriminator.weights,
            "g_optimizer": gan.g_optimizer.variables,
            "d_optimizer": gan.d_optimizer.variables,
            "metrics": [v for m in gan.metrics for v in m.variables],
            "counters": [gan.step_counter, gan.image_counter],
        }
        # tf.train.Checkpoint does not look into the lists and dicts of Keras 3 objects,
        # and would silently skip their weights. So pass lists of tf.Variable.
        self.state = tf.train.Checkpoint(
            **{name: [v.value for v in group] for name, group in variables.items()}
        )

    def save(self) -> Path:
        """Write a checkpoint, delete old ones, and return the new path.

        Raises:
            UserError: if the write fails. The existing checkpoints are unchanged.
        """
        path = self._write(f"images-{self.gan.images_seen:010d}")
        for old in self.paths()[self.keep :]:
            shutil.rmtree(old)
        return path

    def save_best(self, distance: float) -> None:
        """Write the best checkpoint and delete the previous one. Errors: see `save`."""
        path = self._write(f"best-{self.gan.images_seen:010d}", distance=distance)
        for old in self.path.glob("best-*"):
            if old != path:
                shutil.rmtree(old)

    def best_distance(self) -> float:
        """Return the distance of the best checkpoint, or infinity if there is none."""
        distances = [
            json.loads(read_text(path / MANIFEST))["distance"]
            for path in self.path.glob("best-*")
            if validation_error(path) is None
        ]
        return min(distances, default=float("inf"))

    def restore(self, best: bool = False) -> Path | None:
        """Restore the newest valid checkpoint, or the best one, and return its path.

        Returns None if there is no checkpoint.

        Raises:
            UserError: if all checkpoints are damaged.
        """
        path = find_checkpoint(self.path, best)
        if path is not None:
            status = self.state.read(str(path / PREFIX))
            status.assert_existing_objects_matched().assert_consumed()
            manifest = json.loads(read_text(path / MANIFEST))
            self.rollbacks = manifest.get("rollbacks", 0)
        return path

    def remove_leftovers(self) -> None:
        """Delete partial checkpoints, and best checkpoints after the restored one.

        Only the process that trains may call this, after `restore`.
        """
        for path in self.path.glob(".*.partial"):
            shutil.rmtree(path)
        for path in self.path.glob("best-*"):
            if int(path.name.removeprefix("best-")) > self.gan.images_seen:
                shutil.rmtree(path)

    def paths(self) -> list[Path]:
        """Return the paths of the checkpoints, newest first."""
        return sorted(self.path.glob("images-*"), reverse=True)

    def _write(self, name: str, **facts: Any) -> Path:
        path = self.path / name
        try:
            # After a restore, a checkpoint with this count can exist.
            with replacing_directory(path, overwrite=True) as temporary:
                self.state.write(os.path.join(temporary, PREFIX))
                files = sorted(Path(temporary).iterdir())
                manifest = {
                    "images": self.gan.images_seen,
                    "steps": self.gan.steps,
                    "rollbacks": self.rollbacks,
                    "tensorflow": tf.__version__,
                    **facts,
                    "sha256": {f.name: sha256(f) for f in files},
                }
                write_json(os.path.join(temporary, MANIFEST), manifest)
        except (OSError, tf.errors.OpError) as error:
            raise UserError(
                f"{path}: cannot write the checkpoint ({failure_reason(error)}). "
                "Existing checkpoints are unchanged"
            ) from error
        return path


def read_variables(checkpoint: Path, name: str, variables: Iterable) -> None:
    """Assign the values that a checkpoint stores under `name` to Keras variables.

    Reads and casts one value at a time, to save memory.
    """
    reader = tf.train.load_checkpoint(str(checkpoint / PREFIX))
    for index, variable in enumerate(variables):
        variable.assign(reader.get_tensor(f"{name}/{index}{VALUE}"))


def find_checkpoint(path: Path, best: bool = False) -> Path | None:
    """Return the newest valid checkpoint, or the best one, in a directory, or None.

    Raises:
        UserError: if all checkpoints are damaged.
    """
    checkpoints = sorted(path.glob("best-*" if best else "images-*"), reverse=True)
    for checkpoint in checkpoints:
        error = validation_error(checkpoint)
        if error is None:
            return checkpoint
        logging.warning("%s: %s. Trying the previous checkpoint", checkpoint, error)
    if checkpoints:
        raise UserError(f"{path}: all checkpoints are damaged")
    return None


def validation_error(checkpoint: Path) -> str | None:
    """Return what is wrong with a checkpoint, or None if it is valid."""
    try:
        checksums = json.loads(read_text(checkpoint / MANIFEST))["sha256"]
        for name, checksum in checksums.items():
            if sha256(checkpoint / name) != checksum:
                return f"{name} does not match its checksum"
    except (OSError, ValueError, KeyError) as error:
        return f"cannot be read ({error})"
    return None
