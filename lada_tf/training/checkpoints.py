"""Checkpoints of a LadaGAN: written atomically and verified by checksum.

A checkpoint is a directory `images-<count>` with TensorFlow's files and a manifest.
`best-<count>` is the best one so far, see `TrainingOptions.best_by`. A checkpoint is
whole if its manifest has the same count and all checksums match. Files with other names
are left alone. They cause a warning unless they are hidden.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from lada_tf.errors import UserError
from lada_tf.io import (
    failure_reason,
    read_json,
    replacing_directory,
    sha256,
    write_json,
)
from lada_tf.models import LadaGAN

PREFIX = "state"
MANIFEST = "manifest.json"
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # TensorFlow's suffix of variable names
COUNT = "([0-9]{10}|[1-9][0-9]{10,17})"
PARTIAL = r"\.(images|best)-[0-9]+\..*partial"  # of `replacing_directory`


class _IsSaved(Exception):
    """An identical checkpoint exists."""


class Checkpoints:
    """Saves and restores everything that training changes.

    These are both networks, the EMA generator, both optimizers, the metrics, and the
    counters of steps and images. All random numbers are functions of the counters.

    Args:
        path: directory of the checkpoints. Its parent must exist.
        gan: a compiled `LadaGAN`.
        keep: number of most recent checkpoints to keep.

    Attributes:
        rollbacks: int, number of rollbacks of the run so far. Checkpoints contain it.
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
        # tf.train.Checkpoint would silently skip weights in the lists and dicts of
        # Keras 3 objects. So pass lists of tf.Variable.
        self.state = tf.train.Checkpoint(
            **{name: [v.value for v in group] for name, group in variables.items()}
        )

    def save(self) -> Path:
        """Write a checkpoint, delete old ones, and return the new path.

        Raises:
            UserError: if the write fails. The existing checkpoints are unchanged.
        """
        path = self._write(f"images-{self.gan.images_seen:010d}")
        self._delete_old(path)
        return path

    def keep_restored(self, path: Path) -> None:
        """Finish a `save` that was killed: rename the checkpoint, delete old ones.

        Args:
            path: what `restore` returned.
        """
        if path.name.startswith("."):
            name = self.path / f"images-{self.gan.images_seen:010d}"
            shutil.rmtree(name, ignore_errors=True)  # a damaged one
            path = path.rename(name)
        self._delete_old(path)

    def _delete_old(self, path: Path) -> None:
        """Delete all but the `keep` newest whole checkpoints up to `path`.

        Also delete those of more images, because a rollback has undone their steps.
        """
        whole = [p for p in self.paths() if p == path or not validation_error(p)]
        index = whole.index(path)
        undone, kept = whole[:index], whole[index : index + self.keep]
        older = [p for p in self.paths() if _count(p) < _count(kept[-1])]
        # The best ones are not deleted earlier: until this checkpoint is saved, a run
        # can resume from before the newest best one, and needs the one before it.
        best = checkpoint_paths(self.path, "best")
        best = [p for p in best if _count(p) <= self.gan.images_seen]
        if len(best) > 1:
            best = [p for p in best if not validation_error(p)]
        for old in undone + older + best[1:]:
            shutil.rmtree(old)

    def save_best(self, distance: float, selector: str = "") -> None:
        """Write the best checkpoint. The next `save` deletes the previous best one.

        Args:
            distance: the measured distance. Lower is better.
            selector: only distances with the same selector can be compared.

        Raises:
            UserError: see `save`.
        """
        name = f"best-{self.gan.images_seen:010d}"
        self._write(name, distance=distance, selector=selector)

    def best_distance(self, selector: str = "") -> float:
        """Return the lowest distance with this selector, or infinity."""
        manifests = map(read_manifest, whole_checkpoints(self.path, "best"))
        measures = [m["distance"] for m in manifests if m["selector"] == selector]
        return min(measures, default=float("inf"))

    def restore(self, best: bool = False) -> Path | None:
        """Restore the newest whole checkpoint, or the best one.

        Returns:
            The path of the checkpoint, or None if there is none.

        Raises:
            UserError: if all checkpoints are damaged; or if this checkpoint has other
                variables, or weights that are not finite.
        """
        path = find_checkpoint(self.path, best)
        if path is not None:
            self.read(path)
        return path

    def roll_back(self) -> Path:
        """Restore a checkpoint after a divergence, and return its path.

        The first rollback after a checkpoint restores this checkpoint. Each further
        rollback without a new checkpoint goes back by one. All workers restore the same
        checkpoint.

        Raises:
            UserError: see `restore`; or if there is no checkpoint.
        """
        done, whole = self.rollbacks, list(whole_checkpoints(self.path))
        if not whole:
            raise UserError(
                f"{self.path}: cannot roll back, because there is no undamaged "
                "checkpoint. Start a new run"
            )
        since = done - read_manifest(whole[0])["rollbacks"]
        for path in whole[min(since, len(whole) - 1) :]:
            try:
                self.read(path)
                break
            except UserError as error:  # such as weights that are not finite
                if path == whole[-1]:
                    raise
                logging.warning("%s", error)
        self.rollbacks = done + 1
        return path

    def remove_leftovers(self) -> None:
        """Delete partial checkpoints, and best checkpoints after the restored one.

        Call this after `restore`, in the process that trains only.
        """
        seen = self.gan.images_seen
        later = [p for p in checkpoint_paths(self.path, "best") if _count(p) > seen]
        for path in _directories(self.path, PARTIAL) + later:
            shutil.rmtree(path)

    def paths(self) -> list[Path]:
        """Return the paths of the checkpoints, newest first."""
        return checkpoint_paths(self.path, "images")

    def read(self, path: Path) -> None:
        """Restore a whole checkpoint. Errors: see `restore`."""
        with _reporting_misfits(path):
            status = self.state.read(str(path / PREFIX))
            status.assert_existing_objects_matched().assert_consumed()
            for variable in self.gan.ema_generator.weights:
                _check_finite(np.asarray(variable))
        self.rollbacks = read_manifest(path)["rollbacks"]

    def _write(self, name: str, **facts: Any) -> Path:
        path = self.path / name
        try:
            self.path.mkdir(exist_ok=True)  # fails if the run directory is gone
            # After a rollback, a checkpoint with this count can exist.
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
                if not validation_error(path) and manifest == read_json(
                    path / MANIFEST
                ):
                    raise _IsSaved
                write_json(os.path.join(temporary, MANIFEST), manifest)
        except _IsSaved:
            return path
        except (OSError, tf.errors.OpError) as error:
            raise UserError(
                f"{path}: cannot write the checkpoint ({failure_reason(error)}). "
                "Existing checkpoints are unchanged"
            ) from error
        return path


def read_variables(checkpoint: Path, name: str, variables: Iterable) -> None:
    """Assign the values that a checkpoint stores under `name` to Keras variables.

    This reads and casts one value at a time, to save memory.

    Raises:
        UserError: if the variables have other shapes, or a value is not finite.
    """
    with _reporting_misfits(checkpoint):
        reader = tf.train.load_checkpoint(str(checkpoint / PREFIX))
        for index, variable in enumerate(variables):
            value = reader.get_tensor(f"{name}/{index}{VALUE}")
            _check_finite(value)
            variable.assign(value)


def checkpoint_paths(path: Path, kind: str = "images") -> list[Path]:
    """Return the directories with names of checkpoints, newest first."""
    return _directories(path, f"{kind}-{COUNT}")


def whole_checkpoints(path: Path, kind: str = "images") -> Iterator[Path]:
    """Yield the whole checkpoints in a directory, newest first. Warn of other files."""
    found = False
    for entry in set(path.glob("[!.]*")) - set(checkpoint_paths(path, "(images|best)")):
        logging.warning("%s: ignored, because it is not a checkpoint", entry)
    for checkpoint in checkpoint_paths(path, kind):
        if error := validation_error(checkpoint):
            logging.warning("%s: %s. Trying the previous checkpoint", checkpoint, error)
        else:
            found = True
            yield checkpoint
    if not found:  # a killed `save` can leave the only one with a partial name
        partial = _directories(path, PARTIAL.replace("(images|best)", kind))
        yield from (p for p in partial if not validation_error(p))


def find_checkpoint(path: Path, best: bool = False) -> Path | None:
    """Return the newest whole checkpoint, or the best one, in a directory, or None.

    Raises:
        UserError: if all checkpoints are damaged.
    """
    kind = "best" if best else "images"
    found = next(whole_checkpoints(path, kind), None)
    if found is None and checkpoint_paths(path, kind):
        raise UserError(
            f"{path}: all checkpoints are damaged. Restore them from a copy, or train "
            "in a new directory"
        )
    return found


def read_manifest(checkpoint: Path) -> dict[str, Any]:
    """Return the manifest of a checkpoint.

    Raises:
        UserError: if it cannot be read, or belongs to another checkpoint.
    """
    manifest = {"rollbacks": 0, "distance": float("inf"), "selector": ""}
    manifest |= read_json(checkpoint / MANIFEST)
    checksums = manifest.get("sha256")
    if (
        manifest.get("images") != _count(checkpoint)
        or not isinstance(manifest["rollbacks"], int)
        or not isinstance(manifest["distance"], int | float)
        or not isinstance(checksums, dict)
        or f"{PREFIX}.index" not in checksums
    ):
        raise UserError(f"{checkpoint / MANIFEST}: does not match its checkpoint")
    return manifest


def validation_error(checkpoint: Path) -> str | None:
    """Return what is wrong with a checkpoint, or None if it is whole."""
    try:
        for name, checksum in read_manifest(checkpoint)["sha256"].items():
            file = checkpoint / name
            if not file.is_file() or sha256(file) != checksum:
                return f"{name} does not match its checksum"
    except (OSError, ValueError) as error:
        return f"cannot be read ({error})"
    return None


def _directories(path: Path, pattern: str) -> list[Path]:
    """Return the directories whose names match, newest first, without links."""
    found = [p for p in path.glob("*") if p.is_dir() and not p.is_symlink()]
    return sorted(
        (p for p in found if re.fullmatch(pattern, p.name)),
        key=lambda p: (_count(p), p.name),
        reverse=True,
    )


def _count(path: Path) -> int:
    return int(re.findall("[0-9]+", path.name)[0])


def _check_finite(value: np.ndarray) -> None:
    if not np.isfinite(value).all():
        raise ValueError("the weights are not finite, because training diverged")


@contextlib.contextmanager
def _reporting_misfits(checkpoint: Path) -> Iterator[None]:
    try:
        yield
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{checkpoint}: cannot be loaded ({reason}). To use an older checkpoint, "
            "move this one to another directory"
        ) from error
