"""The directory of a training run: configuration, lock, metrics."""

import dataclasses
import functools
import json
import math
import os
import socket
from pathlib import Path
from typing import IO, Any

import tensorflow as tf

from lada_tf.errors import UserError
from lada_tf.io import read_text, try_lock, utf8_path, write_atomically, write_json
from lada_tf.models.presets import Preset
from lada_tf.training import configuration

HEADER = "# python -m lada_tf.train --flagfile=flags.cfg --run_dir=...\n"
# Settings that may change when a run is resumed, because they do not change past steps.
FREE_SETTINGS = (
    "total_images",
    "data",  # the path may change; the fingerprint identifies the content
    "log_images",
    "sample_images",
    "checkpoint_images",
    "keep_checkpoints",
    "fd_images",
    "fd_samples",
    "on_nonfinite",
    "max_rollbacks",
    "on_bad_image",  # another choice changes the fingerprint, if it matters
    "memory_limit_mb",
    "cache_dir",
    "download",
)


class RunDirectory:
    """Paths and files of one training run.

        flags.cfg       a flagfile that repeats the run
        checkpoints/    see `lada_tf.training.checkpoints`
        samples/        grids of images and attention maps
        logs/           TensorBoard
        metrics.jsonl   one JSON object per line, with the number of images seen
        nonfinite-*     a report of a step that was not finite, as JSON
        lock            held by the process that trains

    Args:
        path: path of the directory. `start` creates it.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = utf8_path("run_dir", path)
        self.flags_file = self.path / "flags.cfg"
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"
        self.logs = self.path / "logs"
        self.metrics_file = self.path / "metrics.jsonl"
        self._lock: IO | None = None

    def start(self, preset: Preset, options: dict, fingerprint: str = "") -> None:
        """Create the directory or check that it holds the same run, and lock it.

        Args:
            preset: the run's configuration.
            options: the run's other settings, by flag name.
            fingerprint: identifies the content of the dataset. Empty if unknown.

        Raises:
            UserError: if another process trains in this directory, or the directory
                holds a run with other settings (the message lists them) or other files.
        """
        settings = dataclasses.asdict(preset) | options
        text = HEADER + configuration.flagfile_text(settings)
        self._create()
        self._acquire_lock()
        if fingerprint:
            text += f"{configuration.DATA_COMMENT}{fingerprint}\n"
        if self.flags_file.exists():
            self._check_same_run(text)
        write_atomically(self.flags_file, text)

    def release_lock(self) -> None:
        """Release the lock. The end of the process releases it too."""
        if self._lock:
            self._lock.close()

    def read_preset(self) -> Preset:
        """Return the run's configuration.

        Raises:
            UserError: if the directory holds no run.
        """
        if not self.flags_file.exists():
            raise UserError(f"run_dir={self.path}: no run there (no flags.cfg)")
        settings = configuration.parse_settings(read_text(self.flags_file))
        return configuration.preset_from_settings(settings, self.flags_file)

    def read_setting(self, name: str, default: str) -> str:
        """Return the text of another setting of the run, such as its seed."""
        return configuration.parse_settings(read_text(self.flags_file)).get(
            name, default
        )

    @functools.cached_property
    def writer(self) -> tf.summary.SummaryWriter:
        """The writer of logs/."""
        return tf.summary.create_file_writer(str(self.logs))

    def log_metrics(self, images: int, values: dict[str, float]) -> None:
        """Write values, by name, to metrics.jsonl and TensorBoard."""
        with self.metrics_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"images": images, **values}) + "\n")
        with self.writer.as_default(step=images):
            for name, value in values.items():
                tf.summary.scalar(name, value)

    def truncate_metrics(self, images: int) -> None:
        """Delete the lines after `images` images. The resumed run writes them again."""
        if not self.metrics_file.exists():
            return
        lines = read_text(self.metrics_file).splitlines()
        kept = [f"{line}\n" for line in lines if _images_of(line) <= images]
        write_atomically(self.metrics_file, "".join(kept))

    def nonfinite_file(self, step: int) -> Path:
        """Return the path of `write_nonfinite`."""
        return self.path / f"nonfinite-{step:010d}.json"

    def write_nonfinite(self, step: int, **facts: Any) -> None:
        """Write a report of a step that was not finite."""
        valid_json = {
            name: str(v) if isinstance(v, float) and not math.isfinite(v) else v
            for name, v in facts.items()
        }
        write_json(self.nonfinite_file(step), {"step": step, **valid_json})

    def _create(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not self.flags_file.exists():
                other_files = {p.name for p in self.path.iterdir()} - {"lock"}
                if other_files:
                    raise UserError(
                        f"run_dir={self.path}: contains {min(other_files)!r} but no "
                        "run. Choose a new or empty directory"
                    )
            for directory in (self.checkpoints, self.samples, self.logs):
                directory.mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(
                f"run_dir={self.path}: cannot be created ({error.strerror})"
            ) from error

    def _acquire_lock(self) -> None:
        self._lock = (self.path / "lock").open("a+", encoding="utf-8")
        if not try_lock(self._lock):
            self._lock.seek(0)
            owner = self._lock.read().strip() or "another process"
            raise UserError(
                f"run_dir={self.path}: {owner} is training here. Wait for it, stop it, "
                "or choose another directory"
            )
        self._lock.truncate(0)
        self._lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._lock.flush()

    def _check_same_run(self, text: str) -> None:
        old = configuration.parse_settings(read_text(self.flags_file))
        new = configuration.parse_settings(text)
        differences = [
            f"{name} was {old[name]}, now {new[name]}"
            for name in new
            if name in old and name not in FREE_SETTINGS and old[name] != new[name]
        ]
        if differences:
            raise UserError(
                f"run_dir={self.path}: holds a run with other settings "
                f"({'; '.join(differences)}). Use the same settings or a new directory"
            )


def _images_of(line: str) -> float:
    """Return the image count of a metrics line, or infinity if the line is torn."""
    try:
        return json.loads(line)["images"]
    except (ValueError, KeyError, TypeError):
        return float("inf")
