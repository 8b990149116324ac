"""An exported SavedModel behind a server: requests in, checked; arrays out."""

import re
from pathlib import Path

import numpy as np
import tensorflow as tf

from lada_tf.errors import UserError
from lada_tf.serving.formats import SAVED_MODEL


class BadRequest(ValueError):
    """What a client sent is wrong; the message says what, and goes back to it."""


class Predictor:
    """Runs the signatures of a SavedModel for clients that may send anything.

    Args:
        folder: path of the SavedModel, or of a folder of numbered versions, the
            highest of which is taken.

    Attributes:
        version: int, the number that the SavedModel's folder is named; 1 if it is none.
        signatures: names to `tf.Function`s.
        has_bfloat16: bool, whether weights are of that type.

    Raises:
        UserError: if there is no SavedModel.
    """

    def __init__(self, folder):
        path = _newest_version(Path(folder))
        self.version = int(path.name) if path.name.isdigit() else 1
        self._model = tf.saved_model.load(str(path))  # owns the variables
        self.signatures = dict(self._model.signatures)
        self.has_bfloat16 = any(
            variable.dtype == tf.bfloat16
            for signature in self.signatures.values()
            for variable in signature.variables
        )

    def input_specs(self, signature: str) -> dict[str, tf.TensorSpec]:
        """The inputs of a signature, by name.

        Raises:
            BadRequest: if there is no such signature.
        """
        if signature not in self.signatures:
            names = ", ".join(sorted(self.signatures))
            raise BadRequest(f"there is no signature {signature!r}: one of {names}")
        return self.signatures[signature].structured_input_signature[1]

    def predict(self, signature: str, inputs: dict) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
            signature: its name.
            inputs: arrays, or nested lists as JSON gives them, by name.

        Raises:
            BadRequest: if names, shapes, types or values are not what it takes.
        """
        specs = self.input_specs(signature)
        if set(inputs) != set(specs):
            raise BadRequest(
                f"signature {signature!r} takes {', '.join(sorted(specs))}; "
                f"the request has {', '.join(map(str, inputs)) or 'nothing'}"
            )
        arrays = {name: to_array(inputs[name], spec) for name, spec in specs.items()}
        tensors = {name: tf.constant(array) for name, array in arrays.items()}
        try:
            outputs = self.signatures[signature](**tensors)
        except tf.errors.InvalidArgumentError as error:
            raise BadRequest(_message(error)) from None
        return {name: value.numpy() for name, value in outputs.items()}


def to_array(value, spec: tf.TensorSpec) -> np.ndarray:
    """A value of a request as an array of the shape and type that an input has.

    Raises:
        BadRequest: if it cannot be one without loss.
    """
    wanted = spec.dtype.as_numpy_dtype
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)  # lists of different lengths
    kinds = "iuf" if spec.dtype.is_floating else "iu"
    if array.size and array.dtype.kind not in kinds:
        what = "numbers" if spec.dtype.is_floating else "integers"
        raise BadRequest(f"{spec.name} has to be an array of {what}")
    if not spec.shape.is_compatible_with(array.shape):
        raise BadRequest(
            f"{spec.name} has the shape {_words(array.shape)}, not {_words(spec.shape)}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        converted = array.astype(wanted)
    if not spec.dtype.is_floating and (converted != array).any():
        raise BadRequest(f"{spec.name} does not fit into {spec.dtype.name}")
    return converted


def _words(shape) -> str:
    return f"({', '.join('n' if side is None else str(side) for side in shape)})"


def _message(error: tf.errors.InvalidArgumentError) -> str:
    """The words of the assertion in the graph that failed."""
    found = re.search(r"assertion failed: (\[.*\])", error.message)
    if not found:
        return error.message.splitlines()[0]
    return " ".join(re.findall(r"\[(.*?)\]", found.group(1)))


def _newest_version(folder: Path) -> Path:
    if (folder / SAVED_MODEL).is_file():
        return folder
    versions = [p for p in folder.glob("*/") if (p / SAVED_MODEL).is_file()]
    numbered = [p for p in versions if p.name.isdigit()]
    if not numbered:
        raise UserError(f"--model={folder}: no SavedModel there, nor numbered versions")
    return max(numbered, key=lambda path: int(path.name))
