"""Checkpoints of a LadaGAN: complete or absent, verified by checksum.

A checkpoint is a folder `images-<count>` with TensorFlow's own files and a manifest.
It is written beside its place and renamed into it, so that a process that dies at any
moment leaves the checkpoints before it whole.
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
from lada_tf.training.run_folder import RunFolder

PREFIX = "state"
MANIFEST = "manifest.json"


def load_run(run_dir):
    """The LadaGAN of a run folder, with the state of its newest whole checkpoint.

    Args:
        run_dir: path of a run folder.

    Returns:
        A compiled `LadaGAN`.

    Raises:
        UserError: if there is no run, or it has no checkpoint yet.
    """
    folder = RunFolder(run_dir)
    gan = LadaGAN.from_preset(folder.read_preset(), seed=folder.read_seed())
    gan.compile()
    if not Checkpoints(folder.checkpoints, gan).restore():
        raise UserError(f"--run_dir={run_dir}: no checkpoint there yet")
    return gan


class Checkpoints:
    """Saves and restores all that training changes.

    Both players, the averaged generator, both optimizers, the counts of steps and
    images (of which all random draws are functions), and the metrics' running values.

    Args:
        path: folder of the checkpoints.
        gan: a compiled `LadaGAN`.
        keep: int, how many checkpoints to keep.
    """

    def __init__(self, path, gan: LadaGAN, keep: int = 2):
        self.path = Path(path)
        self.gan = gan
        self.keep = keep
        self.state = tf.train.Checkpoint(
            generator=gan.generator,
            ema_generator=gan.ema_generator,
            discriminator=gan.discriminator,
            g_optimizer=gan.g_optimizer,
            d_optimizer=gan.d_optimizer,
            metrics=gan.metrics,
            step_counter=gan.step_counter.value,
            image_counter=gan.image_counter.value,
        )

    def save(self) -> Path:
        """Writes a checkpoint, then removes those beyond the last `keep`.

        Raises:
            UserError: if it cannot be written; those before it stay as they were.
        """
        partial = self.path / f".partial-{os.getpid()}"
        final = self.path / f"images-{self.gan.images_seen:010d}"
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            self.state.write(str(partial / PREFIX))
            self._write_manifest(partial)
            if final.exists():  # the same count again, after a restore
                shutil.rmtree(final)
            os.replace(partial, final)
            _sync(self.path)
        except (OSError, tf.errors.OpError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise UserError(
                f"{final}: the checkpoint could not be written ({error}); the one "
                "before it is whole"
            ) from error
        for old in self.list()[self.keep :]:
            shutil.rmtree(old)
        return final

    def restore(self) -> Path | None:
        """Restores the newest checkpoint that is whole, and returns its folder.

        Raises:
            UserError: if there are checkpoints but none that is whole.
        """
        for leftover in self.path.glob(".partial-*"):
            shutil.rmtree(leftover)
        candidates = self.list()
        for folder in candidates:
            damage = find_damage(folder)
            if damage is None:
                self.state.read(str(folder / PREFIX)).assert_consumed()
                return folder
            logging.warning("%s: %s; trying the checkpoint before it", folder, damage)
        if candidates:
            raise UserError(f"{self.path}: every checkpoint is damaged")
        return None

    def list(self) -> list[Path]:
        """The checkpoints' folders, newest first."""
        return sorted(self.path.glob("images-*"), reverse=True)

    def _write_manifest(self, folder):
        files = sorted(folder.iterdir())
        manifest = {
            "images": self.gan.images_seen,
            "steps": self.gan.steps,
            "tensorflow": tf.__version__,
            "sha256": {file.name: _sha256(file) for file in files},
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
        for file in (*files, folder / MANIFEST, folder):
            _sync(file)


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
