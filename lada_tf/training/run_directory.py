"""A run's folder: its configuration, its lock, its log. Written atomically."""

import fcntl
import json
import math
import os
import socket
from pathlib import Path

from lada_tf.errors import UserError
from lada_tf.io import write_atomically
from lada_tf.models.presets import Preset
from lada_tf.training.configuration import (
    DATA_COMMENT,
    FIELDS,
    flagfile_text,
    parse_settings,
    preset_from_settings,
)

HEADER = "# python -m lada_tf.train --flagfile=flags.cfg --run_dir=...\n"
# What a run may change when it goes on: it does not alter what the steps so far meant.
FREE_SETTINGS = (
    "total_images",
    "data",  # where it lies; what it holds is in the fingerprint
    "log_images",
    "sample_images",
    "checkpoint_images",
    "keep_checkpoints",
    "fd_images",
    "fd_samples",
    "on_nonfinite",
    "max_rollbacks",
)


class RunDirectory:
    """Paths and records of one training run.

        flags.cfg       a flagfile that repeats the run
        checkpoints/    see `lada_tf.training.checkpoints`
        samples/        grids of images and attention maps
        logs/           TensorBoard
        metrics.jsonl   one JSON object a line, by images seen
        nonfinite-*     what is known of a step that was not finite, as JSON
        lock            held by the process that trains here

    Args:
        path: the folder. It is made by `start`, not before.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.flags_file = self.path / "flags.cfg"
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"
        self.logs = self.path / "logs"
        self.metrics_file = self.path / "metrics.jsonl"
        self._lock = None

    def start(self, preset: Preset, options: dict, fingerprint: str = "") -> None:
        """Makes the folder, or checks that it holds the same run; takes its lock.

        Args:
            preset: the run's configuration.
            options: the other settings of the run, by the names of their flags.
            fingerprint: what identifies the data, wherever it lies; none yet if empty.

        Raises:
            UserError: if another process trains here, or the folder holds a run of
                another configuration (the message lists the differences), or files of
                something else.
        """
        self._make()
        self._take_lock()
        settings = {name: getattr(preset, name) for name in FIELDS} | options
        text = HEADER + flagfile_text(settings)
        if fingerprint:
            text += f"{DATA_COMMENT}{fingerprint}\n"
        if self.flags_file.exists():
            self._check_same_run(text)
        write_atomically(self.flags_file, text)

    def leave(self) -> None:
        """Gives the lock back; the end of the process does too."""
        if self._lock:
            self._lock.close()

    def read_preset(self) -> Preset:
        """The run's configuration.

        Raises:
            UserError: if the folder holds no run.
        """
        if not self.flags_file.exists():
            raise UserError(
                f"--run_dir={self.path}: no run there (flags.cfg is absent)"
            )
        settings = parse_settings(self.flags_file.read_text())
        return preset_from_settings(settings, self.flags_file)

    def read_setting(self, name: str, default: str) -> str:
        """The text of another flag of the run, such as its seed."""
        return parse_settings(self.flags_file.read_text()).get(name, default)

    def append_metrics(self, images: int, values: dict[str, float]) -> None:
        """Adds a line to metrics.jsonl."""
        with self.metrics_file.open("a") as file:
            file.write(json.dumps({"images": images, **values}) + "\n")

    def nonfinite_file(self, step: int) -> Path:
        """Where `write_nonfinite` writes."""
        return self.path / f"nonfinite-{step:010d}.json"

    def write_nonfinite(self, step: int, facts: dict) -> None:
        """Keeps facts about a step that was not finite."""
        finite = {  # JSON knows no other numbers
            name: str(v) if isinstance(v, float) and not math.isfinite(v) else v
            for name, v in facts.items()
        }
        write_atomically(self.nonfinite_file(step), json.dumps(finite, indent=1) + "\n")

    def forget_metrics_after(self, images: int) -> None:
        """Drops the lines that a run, going on from `images`, will write again."""
        if not self.metrics_file.exists():
            return
        kept = [
            line
            for line in self.metrics_file.read_text().splitlines()
            if _images_of(line) <= images
        ]
        write_atomically(self.metrics_file, "".join(line + "\n" for line in kept))

    def _make(self):
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not self.flags_file.exists():
                strangers = {p.name for p in self.path.iterdir()} - {"lock"}
                if strangers:
                    raise UserError(
                        f"--run_dir={self.path}: the folder holds {min(strangers)!r} "
                        "but no run: give a new or empty folder"
                    )
            for folder in (self.checkpoints, self.samples, self.logs):
                folder.mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(
                f"--run_dir={self.path}: cannot be made ({error.strerror})"
            ) from error

    def _take_lock(self):
        """A lock of the operating system: it dies with its process."""
        self._lock = (self.path / "lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.seek(0)
            owner = self._lock.read().strip() or "an unknown process"
            raise UserError(
                f"--run_dir={self.path}: {owner} is training here; wait for it, stop "
                "it, or give another folder"
            ) from None
        self._lock.truncate(0)
        self._lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._lock.flush()

    def _check_same_run(self, text):
        before, now = parse_settings(self.flags_file.read_text()), parse_settings(text)
        differences = [
            f"{name} {before[name]} there, {now[name]} now"
            for name in now
            if name in before
            and name not in FREE_SETTINGS
            and before[name] != now[name]
        ]
        if differences:
            raise UserError(
                f"--run_dir={self.path} holds a run of another configuration "
                f"({'; '.join(differences)}): give the same flags or a new folder"
            )


def _images_of(line: str) -> float:
    """The images of a metrics line; a torn line counts as after everything."""
    try:
        return json.loads(line)["images"]
    except (ValueError, KeyError, TypeError):
        return float("inf")
