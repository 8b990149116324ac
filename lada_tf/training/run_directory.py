"""The directory of a training run: paths, configuration, lock, reports."""

import contextlib
import dataclasses
import errno
import json
import math
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import tensorflow as tf

from lada_tf.errors import LadaError, UserError
from lada_tf.io import (
    DISK_FULL_ERRORS,
    failure_reason,
    read_text,
    try_lock,
    user_files,
    user_path,
    utf8_path,
    write_atomically,
)
from lada_tf.models.presets import Preset
from lada_tf.training import configuration

LOCK = "lock"
PARTIAL = ".*.partial"  # temporary files of `lada_tf.io.replacing`
HEADER = "# lada-tf train --flagfile=flags.cfg --run_dir=...\n"
FINGERPRINT = "data fingerprint"  # name of the last fact in flags.cfg
NEW_RUN = "Restore it from a copy, or choose a new directory"
# Settings that may change when a run resumes.
FREE_SETTINGS = (
    "total_images",
    "data",  # a path that may change; the fingerprint identifies the content
    "log_images",
    "sample_images",
    "checkpoint_images",
    "keep_checkpoints",
    "eval_images",
    "eval_features",
    "eval_samples",
    "best_by",
    "on_nonfinite",
    "max_rollbacks",
    *configuration.SOURCE_SETTINGS,
    "logger",
)


class RunDirectory:
    """Paths and files of one training run.

        flags.cfg       a flagfile that repeats the run
        checkpoints/    see `lada_tf.training.checkpoints`
        samples/        grids of images and attention maps
        logs/           logs for TensorBoard
        metrics.jsonl   one JSON object per line, with the number of images seen
        nonfinite-*     JSON reports of steps with a loss or gradient that is not finite
        lock            locked by the process that trains

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

    def check(self, preset: Preset, options: dict, fingerprint: str = "") -> None:
        """Raise the errors that `start` would raise. Write nothing."""
        with self.reporting_errors():
            self._check_writable()
            if (self.path / LOCK).exists():
                self._acquire_lock()
                self.release_lock()
            self._check_same_run(_flagfile(preset, options, fingerprint))

    def start(
        self, preset: Preset, options: dict, fingerprint: str = "", parent: str = ""
    ) -> None:
        """Create the directory or check that it holds the same run, and lock it.

        Args:
            preset: the run's configuration.
            options: the run's other settings, by flag name.
            fingerprint: identifies the content of the dataset. Empty if unknown.
            parent: `Parent.record` of the model that a new run starts from. If empty,
                keep the one in flags.cfg.

        Raises:
            UserError: if another process trains in this directory; if the directory
                cannot be written; or if it contains other files, or a run with other
                settings. The message lists these settings.
        """
        text = _flagfile(preset, options, fingerprint)
        with self.reporting_errors(), contextlib.ExitStack() as on_error:
            self.path.mkdir(parents=True, exist_ok=True)
            self._check_writable()
            on_error.callback(self.release_lock)
            self._acquire_lock()
            assert self._lock
            self._lock.truncate(0)
            self._lock.write(
                f"process {os.getpid()} on {socket.gethostname()}".encode()
            )
            self._check_same_run(text)
            if self.flags_file.exists():
                parent = parent or self.read_setting("parent", "")
            text = _flagfile(preset, options, fingerprint, parent)
            # First, because `start` refuses a directory with other files but no run.
            write_atomically(self.flags_file, text)
            for directory in (self.checkpoints, self.samples, self.logs):
                directory.mkdir(exist_ok=True)
            for path in (*self.path.glob(PARTIAL), *self.samples.glob(PARTIAL)):
                path.unlink()  # left by a process that was killed
            on_error.pop_all()

    def release_lock(self) -> None:
        """Release the lock. The end of the process releases it too."""
        if self._lock:
            self._lock.close()

    def read_preset(self) -> Preset:
        """Return the run's configuration.

        Raises:
            UserError: if the directory holds no run.
        """
        return configuration.preset_from_settings(self.settings(), self.flags_file)

    def read_setting(self, name: str, default: str) -> str:
        """Return the text of another setting of the run, such as its seed."""
        return self.settings().get(name, default)

    def settings(self) -> dict[str, str]:
        """Return the text of all settings by flag name.

        Raises:
            UserError: if the directory holds no run.
        """
        if not self.flags_file.exists():
            raise UserError(
                f"run_dir={self.path}: no run there (no flags.cfg). Check the path"
            )
        try:
            if not self.flags_file.is_file():  # reading a pipe would wait
                raise OSError("it is not a file")
            return configuration.parse_settings(read_text(self.flags_file))
        except (OSError, UnicodeError) as error:
            raise UserError(f"{self.flags_file}: cannot be read ({error})") from error

    def write_nonfinite(self, step: int, **facts: Any) -> Path:
        """Write a report of a step that was not finite, and return its path.

        If the step has a report with other facts, the new report gets another name.
        """
        valid_json = {
            name: str(v) if isinstance(v, float) and not math.isfinite(v) else v
            for name, v in facts.items()
        }
        report = json.dumps({"step": step, **valid_json}, indent=1) + "\n"
        path, number = self.path / f"nonfinite-{step:010d}.json", 0
        while path.exists() and read_text(path) != report:
            number += 1
            path = self.path / f"nonfinite-{step:010d}-{number}.json"
        write_atomically(path, report)
        return path

    @contextlib.contextmanager
    def reporting_errors(self, only_own: bool = False) -> Iterator[None]:
        """Raise a UserError if the directory cannot be written, or the disk is full.

        Args:
            only_own: set this if the body opens other files too. Then only errors with
                the path of the directory in their text become a UserError.
        """
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            reason = failure_reason(error)
            own_path = rf"(?<![\w./-]){re.escape(str(self.path))}(?![\w.-])"
            is_own = reason in DISK_FULL_ERRORS or re.search(own_path, reason)
            if isinstance(error, LadaError) or (only_own and not is_own):
                raise
            raise UserError(
                f"run_dir={self.path}: cannot be written ({reason}). Fix this and run "
                "the same command again. It resumes from the last checkpoint, if any"
            ) from error

    def _check_writable(self) -> None:
        """Check that the directory can be created or written.

        Raises:
            UserError: if the directory contains files, but no run.
            OSError: if it cannot be written.
        """
        existing = next(p for p in (self.path, *self.path.parents) if p.exists())
        if not existing.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(existing, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "no permission", str(existing))
        if existing != self.path or self.flags_file.exists():
            return
        if others := [
            name
            for name in user_files(self.path)
            if not self._is_ours(self.path / name)
        ]:
            raise UserError(
                f"run_dir={self.path}: contains {others[0]!r} but no run. Choose a "
                "new or empty directory"
            )

    def _is_ours(self, path: Path) -> bool:
        """Return whether an interrupted `start` can have left this file."""
        if path in (self.checkpoints, self.samples, self.logs):
            return path.is_dir() and not any(path.iterdir())
        return path.is_file() and (path.name == LOCK or path.match(PARTIAL))

    def _acquire_lock(self) -> None:
        # Without a buffer, because closing the file must not fail on a full disk.
        self._lock = (self.path / LOCK).open("ab+", buffering=0)
        if not try_lock(self._lock):
            owner = "another process"
            with contextlib.suppress(OSError):  # Windows cannot read a locked file
                self._lock.seek(0)
                owner = self._lock.read().decode(errors="replace") or owner
            raise UserError(
                f"run_dir={self.path}: {owner} is training here. Wait for it, stop it, "
                "or choose another directory"
            )

    def _check_same_run(self, text: str) -> None:
        if not self.flags_file.exists():
            return
        old = {"init_from": ""} | self.settings()
        new = {"init_from": ""} | configuration.parse_settings(text)
        if not (new["resize"] and old.get("resize")):
            del new["resize"]  # a default; the fingerprint contains its value
        expected = [*configuration.REQUIRED, "seed"]
        if "flip" in old:  # not in a run from `import_official`, which has no data
            expected.append(FINGERPRINT)
        if missing := [n for n in expected if n in new and n not in old]:
            raise UserError(f"{self.flags_file}: {missing[0]} is missing. {NEW_RUN}")
        differences = [
            f"{name} was {old[name] or 'empty'}, now {new[name] or 'empty'}"
            for name in new
            if name in old and name not in FREE_SETTINGS and old[name] != new[name]
            if name != "init_from" or _real_path(old[name]) != _real_path(new[name])
        ]
        if differences:
            raise UserError(
                f"run_dir={self.path}: holds a run with other settings "
                f"({'; '.join(differences)}). Use the same settings, or start in a new "
                f"directory from the weights of this run: init_from={self.path}"
            )
        used = read_metrics(self.metrics_file) or any(self.samples.glob("*.png"))
        if used and not self.checkpoints.is_dir():
            raise UserError(
                f"run_dir={self.path}: contains metrics or samples, but no "
                f"checkpoints/. {NEW_RUN}"
            )


def _flagfile(preset: Preset, options: dict, fingerprint: str, parent: str = "") -> str:
    settings = dataclasses.asdict(preset) | options
    text = HEADER + configuration.flagfile_text(settings)
    facts = {"parent": parent, FINGERPRINT: fingerprint}
    comments = {name: text for text, name in configuration.COMMENTS.items()}
    return text + "".join(f"{comments[n]}{v}\n" for n, v in facts.items() if v)


def _real_path(source: str) -> str:
    """Return one text for all paths of a model. Other sources stay different."""
    return os.path.realpath(user_path(source)) if source else ""


def read_metrics(path: Path) -> list[dict]:
    """Return the lines of a metrics.jsonl, without incomplete lines from a crash."""
    records = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            record = json.loads(line)
            records += [record] if record["images"] >= 0 else []
    return records
