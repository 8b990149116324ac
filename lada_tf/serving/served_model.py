"""Load the newest version of a model, and queue requests to it, for both servers."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from absl import logging

from lada_tf.errors import UserError
from lada_tf.io import utf8_path
from lada_tf.serving.exported import SAVED_MODEL, first_line
from lada_tf.serving.predictor import BadRequest, Predictor, version_of

Result = TypeVar("Result")

QUEUE_SECONDS = 30  # maximum time that a request waits
POLL_SECONDS = 3  # time between two searches for new versions


class ServedModel:
    """The newest version of a model that can be loaded.

    Args:
        model: path of a SavedModel, or of a directory of numbered versions.

    Attributes:
        current: the `Predictor` of the version. A request uses one until its end.

    Raises:
        UserError: if no version can be loaded.
    """

    def __init__(self, model: str | os.PathLike):
        self._path = utf8_path("model", model)
        # States of the files of versions, see `_files_state`.
        self._seen: dict[Path, list] = {}  # at the last call of `refresh`
        self._failed: dict[Path, list] = {}  # when the version could not be loaded
        self.current: Predictor | None = None
        self.refresh()

    def follow(self) -> None:
        """Start a thread that looks for new versions."""

        def poll():
            while True:
                time.sleep(POLL_SECONDS)
                self.refresh()

        threading.Thread(target=poll, daemon=True).start()

    def refresh(self) -> None:
        """Load the newest version, if it is not the current one and can be loaded.

        A version whose files still change waits for the next call. A version that
        failed is tried again after its files have changed.

        Raises:
            UserError: if there is no current version, and none can be loaded.
        """
        failures = []
        for path in find_versions(self._path):
            if self.current and path == self.current.path:
                break
            state = _files_state(path)
            if self._failed.get(path) == state:
                continue
            if self.current and self._seen.get(path) != state:
                self._seen[path] = state
                continue
            try:
                self.current = Predictor(path)
                logging.info("serving version %d", self.current.version)
                break
            except UserError as error:
                self._failed[path] = state
                failures.append(error)
        if self.current is None:
            reason = f"{failures[0]}. " if failures else ""
            raise UserError(
                f"model={self._path}: no version can be loaded. {reason}Expected "
                f"{SAVED_MODEL}, or directories named 1, 2, … that contain it"
            )
        for failure in failures:
            logging.warning("%s. Serving version %d", failure, self.current.version)
        if not self.current.works:
            try:
                self.current.try_default()
            except Exception as error:  # TensorFlow raises exceptions of many types
                logging.warning(
                    "the model still fails on a test input: %s", first_line(error)
                )

    def find(self, version: int | str | None = None) -> Predictor:
        """Return the current version.

        Raises:
            BadRequest: if `version` is given and is not the current one.
        """
        assert self.current
        current = self.current.version
        if version is not None and str(version) != str(current):
            raise BadRequest(f"there is no version {version}, only {current}", 404)
        return self.current


def find_versions(path: Path) -> list[Path]:
    """Return the directories of a model's versions, the newest one first."""
    try:
        if (path / SAVED_MODEL).is_file():
            return [path.resolve()]
        paths = [path for path in path.iterdir() if version_of(path)]
    except OSError:  # absent or unreadable
        return []
    return sorted(paths, key=lambda path: (version_of(path), path), reverse=True)


def _files_state(path: Path) -> list:
    """Return the names, sizes and times of a version's files, to notice a change."""
    try:
        files = [(file, file.stat()) for file in sorted(path.rglob("*"))]
    except OSError:  # changed meanwhile, or unreadable
        return []
    return [(file, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for file, s in files]


class PredictionQueue:
    """A pool of threads that runs requests, and refuses more when too many wait.

    The pool has one thread per core. TensorFlow already uses all cores for each
    request, so more threads would not help.

    Args:
        max_requests: maximum number of requests that wait or run.
    """

    def __init__(self, max_requests: int):
        self.executor = ThreadPoolExecutor(os.cpu_count())
        self._free = threading.BoundedSemaphore(max_requests)

    async def run(self, function: Callable[..., Result], *args: Any) -> Result:
        """Call a function in a thread. If cancelled before its start, it never runs.

        Raises:
            BadRequest: if too many requests wait, or this one has waited too long.
        """
        if not self._free.acquire(blocking=False):
            raise BadRequest("too many requests wait. Try again later", 503)
        future = self.executor.submit(function, *args)
        future.add_done_callback(lambda _: self._free.release())
        try:
            result = asyncio.wrap_future(future)
            await asyncio.wait([result], timeout=QUEUE_SECONDS)
            if not result.done() and future.cancel():
                raise BadRequest("the request waited too long. Try again later", 503)
            return await result
        finally:
            future.cancel()
