"""Run an exported SavedModel for a server's clients: check requests, return arrays."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from lada_tf.errors import UserError
from lada_tf.io import utf8_path
from lada_tf.serving.exported import SAVED_MODEL, first_line

DEFAULT_SIGNATURE = "serving_default"


class BadRequest(ValueError):
    """A client's request is invalid. The server returns the message to the client."""


class Predictor:
    """Run the signatures of a SavedModel on untrusted requests.

    Args:
        model: path of the SavedModel, or of a directory of numbered versions, from
            which the highest one is loaded.

    Attributes:
        version: number that the SavedModel's directory is named after, or 1.
        signatures: `tf.Function`s by name.
        has_bfloat16: whether weights are bfloat16.

    Raises:
        UserError: if there is no SavedModel, or it cannot be loaded.
    """

    def __init__(self, model: str | os.PathLike):
        path = _find_newest_version(utf8_path("model", model))
        self.version = int(path.name) if path.name.isdigit() else 1
        try:
            self._model = tf.saved_model.load(str(path))  # owns the variables
        except Exception as error:  # TensorFlow raises exceptions of many types
            raise UserError(
                f"model={path}: cannot be loaded ({first_line(error)})"
            ) from error
        self.signatures = dict(self._model.signatures)
        self.has_bfloat16 = any(
            variable.dtype == tf.bfloat16
            for signature in self.signatures.values()
            for variable in signature.variables
        )

    def input_specs(self, signature: str) -> dict[str, tf.TensorSpec]:
        """Return the inputs of a signature by name.

        Raises:
            BadRequest: if there is no such signature.
        """
        if signature not in self.signatures:
            names = ", ".join(sorted(self.signatures))
            raise BadRequest(f"there is no signature {signature!r}, only {names}")
        return self.signatures[signature].structured_input_signature[1]

    def predict(self, signature: str, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
        """Run a signature.

        Args:
            signature: name of the signature.
            inputs: arrays, or nested lists from JSON, by name.

        Raises:
            BadRequest: if a name, shape, type or value is invalid.
        """
        specs = self.input_specs(signature)
        if set(inputs) != set(specs):
            raise BadRequest(
                f"signature {signature!r} takes {', '.join(sorted(specs))}; "
                f"the request has {', '.join(map(str, inputs)) or 'nothing'}"
            )
        tensors = {
            name: tf.constant(to_array(inputs[name], spec))
            for name, spec in specs.items()
        }
        try:
            outputs = self.signatures[signature](**tensors)
        except tf.errors.InvalidArgumentError as error:
            raise BadRequest(_assertion_message(error)) from None
        return {name: value.numpy() for name, value in outputs.items()}


def to_array(value: Any, spec: tf.TensorSpec) -> np.ndarray:
    """Convert an input of a request to an array of the shape and dtype of `spec`.

    Raises:
        BadRequest: if it cannot be converted without loss.
    """
    is_float = spec.dtype.is_floating
    try:
        array = np.asarray(value)
    except ValueError:  # nested lists of different lengths
        array = np.asarray(None)
    if array.size and array.dtype.kind not in ("iuf" if is_float else "iu"):
        numbers = "numbers" if is_float else "integers"
        raise BadRequest(f"{spec.name} must be an array of {numbers}")
    if not spec.shape.is_compatible_with(array.shape):
        raise BadRequest(
            f"{spec.name} has the shape {_shape_text(array.shape)}, "
            f"not {_shape_text(spec.shape)}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        converted = array.astype(spec.dtype.as_numpy_dtype)
    if not is_float and (converted != array).any():
        raise BadRequest(f"{spec.name} does not fit into {spec.dtype.name}")
    return converted


def _shape_text(shape) -> str:
    return f"({', '.join('n' if side is None else str(side) for side in shape)})"


def _assertion_message(error: tf.errors.InvalidArgumentError) -> str:
    """Return the message of the assertion in the graph that failed."""
    match = re.search(r"assertion failed: (\[.*\])", error.message)
    if not match:
        return error.message.splitlines()[0]
    return " ".join(re.findall(r"\[(.*?)\]", match.group(1)))


def _find_newest_version(path: Path) -> Path:
    if (path / SAVED_MODEL).is_file():
        return path
    models = [file.parent for file in path.glob(f"*/{SAVED_MODEL}")]
    versions = [model for model in models if model.name.isdigit()]
    if not versions:
        raise UserError(
            f"model={path}: no SavedModel found. Expected {SAVED_MODEL}, or "
            "directories of numbered versions"
        )
    return max(versions, key=lambda version: int(version.name))
