"""Run exported SavedModels for a server's clients: check requests, follow versions."""

import asyncio
import os
import re
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf
from absl import logging

from lada_tf import runtime
from lada_tf.errors import UserError
from lada_tf.io import utf8_path
from lada_tf.serving.exported import SAVED_MODEL, first_line

Result = TypeVar("Result")

DEFAULT_SIGNATURE = "serving_default"
QUEUE_SECONDS = 30  # after which a request that still waits is refused
POLL_SECONDS = 3  # between two looks for new versions


class BadRequest(Exception):
    """A request cannot be answered. The server returns the message to the client.

    Args:
        detail: message.
        status_code: of HTTP: 400, 404 for a model or version, 503 to try again later.
    """

    def __init__(self, detail: str, status_code: int = 400):
        super().__init__(detail[:300])  # it may quote the request
        self.detail = str(self)
        self.status_code = status_code


class Predictor:
    """Run the signatures of a SavedModel on untrusted requests.

    Args:
        path: directory of the SavedModel.

    Attributes:
        path: as given.
        version: number that the SavedModel's directory is named after, or 1.
        signatures: `tf.Function`s by name.
        works: False after an unexpected error, such as one of the GPU, until a
            signature runs again.

    Raises:
        UserError: if there is no SavedModel, or it cannot be loaded.
    """

    def __init__(self, path: Path):
        self.path = path
        self.version = _version(path) or 1
        if not (path / SAVED_MODEL).is_file():
            raise UserError(f"model={path}: no {SAVED_MODEL} found")
        try:
            self._model = tf.saved_model.load(str(path))  # owns the variables
            self.signatures = dict(self._model.signatures)
            if self.has_bfloat16:
                runtime.assume_frozen_weights()
            # A damaged graph fails now, and the first client does not wait for tracing.
            self.try_default()
        except Exception as error:  # TensorFlow raises exceptions of many types
            raise UserError(
                f"model={path}: cannot be loaded ({first_line(error)})"
            ) from error

    @property
    def has_bfloat16(self) -> bool:
        """Whether weights are bfloat16."""
        return any(
            variable.dtype == tf.bfloat16
            for signature in self.signatures.values()
            for variable in signature.variables
        )

    def try_default(self) -> None:
        """Run the default signature on zeros."""
        specs = self.input_specs(DEFAULT_SIGNATURE)
        zeros = {k: np.zeros([n or 1 for n in v.shape]) for k, v in specs.items()}
        self.predict(DEFAULT_SIGNATURE, zeros)

    def input_specs(self, signature: str) -> dict[str, tf.TensorSpec]:
        """Return the inputs of a signature by name.

        Raises:
            BadRequest: if there is no such signature.
        """
        if signature not in self.signatures:
            names = ", ".join(sorted(self.signatures))
            raise BadRequest(f"there is no signature {signature!r}, only {names}")
        return self.signatures[signature].structured_input_signature[1]

    def predict(
        self, signature: str, inputs: dict[str, Any], names: Iterable[str] = ()
    ) -> dict[str, np.ndarray]:
        """Run a signature.

        Args:
            signature: name of the signature.
            inputs: arrays, or nested lists from JSON, by name.
            names: names of the outputs to return. The default is all.

        Raises:
            BadRequest: if a name, shape, type or value is invalid.
        """
        specs = self.input_specs(signature)
        if set(inputs) != set(specs):
            raise BadRequest(
                f"signature {signature!r} takes {', '.join(sorted(specs))}; "
                f"the request has {', '.join(map(str, inputs)) or 'nothing'}"
            )
        function = self.signatures[signature]
        names = list(names) or list(function.structured_outputs)
        if unknown := set(names) - set(function.structured_outputs):
            raise BadRequest(f"there is no output {', '.join(sorted(unknown))}")
        tensors = {
            name: tf.constant(to_array(inputs[name], spec))
            for name, spec in specs.items()
        }
        try:
            outputs = function(**tensors)
            arrays = {name: outputs[name].numpy() for name in names}
        except tf.errors.InvalidArgumentError as error:
            raise BadRequest(_assertion_message(error)) from None
        except Exception:
            self.works = False
            raise
        self.works = True
        return arrays


def to_array(value: Any, spec: tf.TensorSpec) -> np.ndarray:
    """Convert an input of a request to an array of the shape and dtype of `spec`.

    Args:
        value: an array, or a number or nested lists from JSON.
        spec: what the signature takes.

    Raises:
        BadRequest: if it cannot be converted without loss.
    """
    is_float = spec.dtype.is_floating
    # As objects: NumPy would give each text the length of the longest one.
    array = value if isinstance(value, np.ndarray) else np.asarray(value, object)
    if array.dtype == object:
        is_number = set(map(type, array.ravel().tolist())) <= (
            {int, float} if is_float else {int}
        )
    else:
        is_number = array.dtype.kind in ("iuf" if is_float else "iu")
    if not is_number:
        numbers = "numbers" if is_float else "integers"
        raise BadRequest(f"{spec.name} must be an array of {numbers}")
    if not spec.shape.is_compatible_with(array.shape):
        raise BadRequest(
            f"{spec.name} has the shape {_shape_text(array.shape)}, "
            f"not {_shape_text(spec.shape)}"
        )
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            converted = array.astype(spec.dtype.as_numpy_dtype)
        if is_float or (converted == array).all():
            return converted
    except OverflowError:  # a Python integer
        pass
    raise BadRequest(f"{spec.name} does not fit into {spec.dtype.name}")


def _shape_text(shape) -> str:
    return f"({', '.join('n' if side is None else str(side) for side in shape)})"


def _assertion_message(error: tf.errors.InvalidArgumentError) -> str:
    """Return the message of the assertion in the graph that failed."""
    match = re.search(r"assertion failed: (\[.*\])", error.message)
    if not match:
        return error.message.splitlines()[0]
    return " ".join(re.findall(r"\[(.*?)\]", match.group(1)))


class ServedModel:
    """The newest version of a model that can be loaded.

    Args:
        model: path of a SavedModel, or of a directory of numbered versions.

    Attributes:
        current: the `Predictor` of the version. A request keeps the one it began with.

    Raises:
        UserError: if no version can be loaded.
    """

    def __init__(self, model: str | os.PathLike):
        self._path = utf8_path("model", model)
        # Files of versions: at the last look, and when they could not be loaded.
        self._seen: dict[Path, list] = {}
        self._failed: dict[Path, list] = {}
        self.current: Predictor | None = None
        self.refresh()
        if self.current is None:
            raise UserError(
                f"model={self._path}: no SavedModel that can be loaded found. Expected "
                f"{SAVED_MODEL}, or directories of numbered versions"
            )

    def follow(self) -> None:
        """Look for new versions from now on, in a thread."""

        def poll():
            while True:
                time.sleep(POLL_SECONDS)
                self.refresh()

        threading.Thread(target=poll, daemon=True).start()

    def refresh(self) -> None:
        """Load the newest version, if it is not the current one and can be loaded.

        A version whose files still change waits for the next call. One that failed is
        tried again after its files changed.
        """
        for path in self._versions():
            if self.current and path == self.current.path:
                break
            files = _files(path)
            if self._failed.get(path) == files:
                continue
            if self.current and self._seen.get(path) != files:
                self._seen[path] = files
                continue
            try:
                self.current = Predictor(path)
                logging.info("serving version %d", self.current.version)
                return
            except UserError as error:
                self._failed[path] = files
                logging.warning("%s. Trying the version before", error)
        if self.current and not self.current.works:
            try:
                self.current.try_default()
            except Exception as error:  # TensorFlow raises exceptions of many types
                logging.warning("the model fails: %s", first_line(error))

    def _versions(self) -> list[Path]:
        """Return the directories of versions, the newest one first."""
        try:
            if (self._path / SAVED_MODEL).is_file():
                return [self._path.resolve()]
            paths = [path for path in self._path.iterdir() if _version(path)]
        except OSError:  # absent or unreadable
            return []
        return sorted(paths, key=lambda path: (_version(path), path), reverse=True)

    def find(self, version: int | str | None = None) -> Predictor:
        """Return the current version.

        Raises:
            BadRequest: if `version` is given and another one.
        """
        assert self.current
        current = self.current.version
        if version is not None and str(version) != str(current):
            raise BadRequest(f"there is no version {version}, only {current}", 404)
        return self.current


def _version(path: Path) -> int:
    """Return the version that a directory is named after, or 0."""
    match = re.fullmatch("[0-9]{1,18}", path.name)
    return int(path.name) if match and path.is_dir() else 0


def _files(path: Path) -> list:
    """Return the names, sizes and times of a version's files, to notice a change."""
    try:
        files = [(file, file.stat()) for file in sorted(path.rglob("*"))]
    except OSError:  # changed meanwhile, or unreadable
        return []
    return [(file, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for file, s in files]


class PredictionQueue:
    """Threads that answer requests in turn, with a limit of those that wait.

    TensorFlow uses all cores for each request, so more threads would not help.

    Args:
        max_requests: maximum number of requests that wait or run.
    """

    def __init__(self, max_requests: int):
        self.executor = ThreadPoolExecutor(os.cpu_count())
        self._free = threading.BoundedSemaphore(max_requests)

    async def run(self, function: Callable[..., Result], *args: Any) -> Result:
        """Call a function in a thread. If cancelled before its turn, it never runs.

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
                raise BadRequest("the request has waited for too long", 503)
            return await result
        finally:
            future.cancel()
