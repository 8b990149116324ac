"""Run an exported SavedModel for clients: check requests, and return arrays."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from lada_tf import runtime
from lada_tf.errors import UserError
from lada_tf.serving.exported import SAVED_MODEL, first_line

DEFAULT_SIGNATURE = "serving_default"


class BadRequest(Exception):
    """A request that cannot be answered. The server sends the message to the client.

    Args:
        detail: the message.
        status_code: HTTP status: 400 for an invalid request, 404 for an unknown model
            or version, 408 for a slow and 413 for a large request, 503 for a busy
            server.
    """

    def __init__(self, detail: str, status_code: int = 400):
        super().__init__(detail[:300])  # the message can quote a long request
        self.detail = str(self)
        self.status_code = status_code


class Predictor:
    """Run the signatures of a SavedModel on untrusted requests.

    Args:
        path: directory of the SavedModel.

    Attributes:
        path: the directory.
        version: the name of the directory if it is a number, otherwise 1.
        signatures: functions by name.
        works: False after an unexpected error, such as a lost GPU, until a signature
            runs without an error.

    Raises:
        UserError: if there is no SavedModel, or it cannot be loaded.
    """

    def __init__(self, path: Path):
        self.path = path
        self.version = version_of(path) or 1
        if not (path / SAVED_MODEL).is_file():
            raise UserError(f"model={path}: no {SAVED_MODEL} found")
        try:
            self._model = tf.saved_model.load(str(path))  # owns the variables
            self.signatures = dict(self._model.signatures)
            if self.has_bfloat16:
                runtime.assume_frozen_weights()
            # Find a damaged graph now, and let no client wait for the first call.
            self.try_default()
        except Exception as error:  # TensorFlow raises exceptions of many types
            raise UserError(
                f"model={path}: cannot be loaded ({first_line(error)})"
            ) from error

    @property
    def has_bfloat16(self) -> bool:
        """Whether any weights are bfloat16."""
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
            names: names of the outputs to return. By default, return all.

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
            raise BadRequest(
                f"there is no output {', '.join(sorted(unknown))}, only "
                f"{', '.join(function.structured_outputs)}"
            )
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
        spec: spec of the signature's input.

    Raises:
        BadRequest: if it cannot be converted without loss.
    """
    is_float = spec.dtype.is_floating
    # As objects, because NumPy would give each string the length of the longest one.
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
            f"{spec.name} must have the shape {_shape_text(spec.shape)}, "
            f"not {_shape_text(array.shape)}"
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
    """Return the message of the failed assertion in the graph."""
    match = re.search(r"assertion failed: (\[.*\])", error.message)
    if not match:
        return error.message.splitlines()[0]
    return " ".join(re.findall(r"\[(.*?)\]", match.group(1)))


def version_of(path: Path) -> int:
    """Return the version that is the name of a directory, or 0."""
    match = re.fullmatch("[0-9]{1,18}", path.name)
    return int(path.name) if match and path.is_dir() else 0
