"""Checkpoints of a LadaGAN: complete or absent, verified by checksum.

A checkpoint is a folder `images-<count>` with TensorFlow's own files and a manifest;
`best-<count>` is the one with the lowest Fréchet distance so far. It is written beside
its place and renamed into it, so that a process that dies at any moment leaves the
checkpoints before it whole.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

import tensorflow as tf
from absl import logging

from lada_tf.errors import UserError
from lada_tf.models import LadaGAN
from lada_tf.training.full_disk import reason_of

PREFIX = "state"
MANIFEST = "manifest.json"
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # TensorFlow's ending of a variable's name


class Checkpoints:
    """Saves and restores all that training changes.

    Both players, the averaged generator, both optimizers, the counts of steps and
    images (of which all random draws are functions), and the metrics' running values.

    Args:
        path: folder of the checkpoints.
        gan: a compiled `LadaGAN`.
        keep: int, how many checkpoints to keep.

    Attributes:
        rollbacks: int, how often the run was rolled back to a checkpoint; saved too.
    """

    def __init__(self, path, gan: LadaGAN, keep: int = 2):
        self.path = Path(path)
        self.gan = gan
        self.keep = keep
        self.rollbacks = 0
        self.state = tf.train.Checkpoint(
            **{
                name: _plain_variables(variables)
                for name, variables in {
                    "generator": gan.generator.weights,
                    "ema_generator": gan.ema_generator.weights,
                    "discriminator": gan.discriminator.weights,
                    "g_optimizer": gan.g_optimizer.variables,
                    "d_optimizer": gan.d_optimizer.variables,
                    "metrics": [v for m in gan.metrics for v in m.variables],
                    "counters": [gan.step_counter, gan.image_counter],
                }.items()
            }
        )

    def save(self) -> Path:
        """Writes a checkpoint, then removes those beyond the last `keep`.

        Raises:
            UserError: if it cannot be written; those before it stay as they were.
        """
        final = self._write(f"images-{self.gan.images_seen:010d}")
        for old in self.list()[self.keep :]:
            shutil.rmtree(old)
        return final

    def save_best(self, distance: float) -> None:
        """Writes the best checkpoint so far, then removes the one before it.

        Raises:
            UserError: as `save`.
        """
        final = self._write(f"best-{self.gan.images_seen:010d}", distance=distance)
        for old in self.path.glob("best-*"):
            if old != final:
                shutil.rmtree(old)

    def best_distance(self) -> float:
        """The distance of the best checkpoint; infinity if there is none."""
        distances = [
            json.loads((folder / MANIFEST).read_text())["distance"]
            for folder in self.path.glob("best-*")
            if find_damage(folder) is None
        ]
        return min(distances, default=float("inf"))

    def _write(self, name, **facts) -> Path:
        partial = self.path / f".partial-{os.getpid()}"
        final = self.path / name
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            self.state.write(str(partial / PREFIX))
            self._write_manifest(partial, facts)
            if final.exists():  # the same count again, after a restore
                shutil.rmtree(final)
            os.replace(partial, final)
            _sync(self.path)
        except (OSError, tf.errors.OpError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise UserError(
                f"{final}: the checkpoint could not be written ({reason_of(error)}); "
                "what was saved before stays whole"
            ) from error
        return final

    def restore(self) -> Path | None:
        """Restores the newest checkpoint that is whole, and returns its folder.

        Raises:
            UserError: if there are checkpoints but none that is whole.
        """
        return self._read(find_newest(self.path))

    def restore_best(self) -> Path | None:
        """Restores the best checkpoint, and returns its folder; None without one.

        Raises:
            UserError: if it is damaged.
        """
        return self._read(find_best(self.path))

    def remove_leftovers(self) -> None:
        """Removes what a process that died left: half a checkpoint, a future best.

        To be called by the one process that trains, after `restore`.
        """
        for leftover in self.path.glob(".partial-*"):
            shutil.rmtree(leftover)
        for folder in self.path.glob("best-*"):
            if int(folder.name.removeprefix("best-")) > self.gan.images_seen:
                shutil.rmtree(folder)

    def _read(self, folder: Path | None) -> Path | None:
        if folder is None:
            return None
        status = self.state.read(str(folder / PREFIX))
        status.assert_existing_objects_matched().assert_consumed()
        manifest = json.loads((folder / MANIFEST).read_text())
        self.rollbacks = manifest.get("rollbacks", 0)
        return folder

    def list(self) -> list[Path]:
        """The checkpoints' folders, newest first."""
        return _newest_first(self.path)

    def _write_manifest(self, folder, facts):
        files = sorted(folder.iterdir())
        manifest = {
            "images": self.gan.images_seen,
            "steps": self.gan.steps,
            "rollbacks": self.rollbacks,
            "tensorflow": tf.__version__,
            **facts,
            "sha256": {file.name: _sha256(file) for file in files},
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
        for file in (*files, folder / MANIFEST, folder):
            _sync(file)


def read_variables(checkpoint: Path, name: str, variables) -> None:
    """Sets Keras variables to those that a checkpoint keeps under a name.

    One at a time, each cast where it is read: not all in the checkpoint's dtype first.
    """
    reader = tf.train.load_checkpoint(str(checkpoint / PREFIX))
    for number, variable in enumerate(variables):
        variable.assign(reader.get_tensor(f"{name}/{number}{VALUE}"))


def _plain_variables(variables) -> list[tf.Variable]:
    """Keras variables as those that a `tf.train.Checkpoint` finds.

    Its tracking does not look into the lists and dicts of Keras 3 objects, and would
    leave weights out without a word.
    """
    return [variable.value for variable in variables]


def find_newest(path: Path) -> Path | None:
    """The newest checkpoint in a folder that is whole; None if there are none.

    Raises:
        UserError: if there are checkpoints but none that is whole.
    """
    candidates = _newest_first(path)
    for folder in candidates:
        damage = find_damage(folder)
        if damage is None:
            return folder
        logging.warning("%s: %s; trying the checkpoint before it", folder, damage)
    if candidates:
        raise UserError(f"{path}: every checkpoint is damaged")
    return None


def find_best(path: Path) -> Path | None:
    """The best checkpoint in a folder; None if there is none.

    Raises:
        UserError: if it is damaged.
    """
    for folder in path.glob("best-*"):
        if damage := find_damage(folder):
            raise UserError(f"{folder}: {damage}")
        return folder
    return None


def _newest_first(path: Path) -> list[Path]:
    return sorted(path.glob("images-*"), reverse=True)


def find_damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint's folder, or None if it is whole."""
    try:
        expected = json.loads((folder / MANIFEST).read_text())["sha256"]
        for name, checksum in expected.items():
            if _sha256(folder / name) != checksum:
                return f"{name} does not match its checksum"
    except (OSError, ValueError, KeyError) as error:
        return f"not readable ({error})"
    return None


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Makes sure that a file's content, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
