"""Features of Keras' InceptionV3, and of any model that the user has on disk."""

import contextlib
import hashlib
import os
import sys

import keras
import numpy as np
import tensorflow as tf

from lada_tf.errors import UserError
from lada_tf.evaluation.extractor import Extractor, Features


class KerasInceptionV3(Extractor):
    """Keras' InceptionV3 with ImageNet weights, as the authors' repository uses it.

    Half-pixel bilinear resize to 299x299, averaged last layer, 2,048 features. Other
    weights and another resize than FID's graph: not comparable with FID.

    Args:
        weights: as of `keras.applications.InceptionV3`.

    Raises:
        UserError: the weights are neither in Keras' cache nor to be downloaded.
    """

    label = "Keras InceptionV3"
    WEIGHTS_FILE = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"

    def __init__(self, weights: str | None = "imagenet"):
        try:
            # Keras tells of a download on stdout, where results belong.
            with contextlib.redirect_stdout(sys.stderr):
                network = keras.applications.InceptionV3(
                    include_top=False, weights=weights, pooling="avg"
                )
        except Exception as error:  # of the network or the file, of no common type
            raise UserError(
                f"Keras InceptionV3 has no weights: put {self.WEIGHTS_FILE} of "
                "keras-applications into ~/.keras/models, or choose other --features "
                f"({error})"
            ) from error
        inputs = keras.Input((None, None, 3))
        x = keras.layers.Resizing(299, 299)(inputs)
        x = keras.layers.Rescaling(1 / 127.5, -1)(x)
        self._model = keras.Model(inputs, network(x))
        digest = hashlib.sha256()
        for array in network.get_weights():
            digest.update(array.tobytes())
        self.identity = f"keras_inception_v3:{digest.hexdigest()[:12]}"

    def extract(self, images: np.ndarray) -> Features:
        return Features(np.asarray(self._model.predict_on_batch(images)))


class ModelFeatures(Extractor):
    """Features of a `.keras` file or a SavedModel folder.

    The model takes RGB images (n, height, width, 3) in [0, 255], as uint8 or as floats,
    so its own scaling belongs into it. Images are resized (bilinear, antialiased) where
    its height and width are fixed. It returns (n, d), or maps, which are averaged over
    their positions; of a SavedModel's several outputs the one named `features`.

    Raises:
        UserError: nothing that can be loaded, or no such input or output.
    """

    def __init__(self, path: str):
        name = os.path.basename(os.path.normpath(path))
        self.label = name
        self._path = path
        try:
            self._call, shape, self._dtype = _load(path)
        except UserError:
            raise
        except Exception as error:  # Keras and TensorFlow raise nearly any type here
            raise UserError(
                f"--features={path} is no .keras file or SavedModel folder that can be "
                f"loaded: {str(error)[:200]}"
            ) from error
        if len(shape) != 4 or shape[-1] not in (3, None):
            raise UserError(
                f"--features={path} takes {tuple(shape)}, not images (n, h, w, 3)"
            )
        self._size = shape[1:3] if None not in shape[1:3] else None
        self.identity = f"{name}:{_digest(path)[:12]}"

    def extract(self, images: np.ndarray) -> Features:
        batch = tf.constant(images)
        if self._size and tuple(images.shape[1:3]) != tuple(self._size):
            batch = tf.image.resize(batch, self._size, antialias=True)
            batch = tf.round(batch) if self._dtype.is_integer else batch
        values = np.asarray(self._call(tf.cast(batch, self._dtype)), np.float32)
        values = values.reshape(len(images), -1, values.shape[-1]).mean(axis=1)
        return Features(values)


def _load(path: str):
    """(a callable batch -> features, its input's shape, its input's dtype)"""
    if not os.path.exists(path):
        raise UserError(f"--features={path} does not exist")
    if path.endswith((".keras", ".h5")):
        model = keras.models.load_model(path, compile=False)
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            raise UserError(f"--features={path} needs one input and one output")
        dtype = tf.as_dtype(keras.backend.standardize_dtype(model.inputs[0].dtype))
        return model.predict_on_batch, model.inputs[0].shape, dtype
    loaded = tf.saved_model.load(path)
    signature = loaded.signatures.get("serving_default")
    inputs = signature.structured_input_signature[1] if signature else {}
    if len(inputs) != 1:
        raise UserError(f"--features={path} has no serving_default of one input")
    [(key, spec)] = inputs.items()
    outputs = signature.structured_outputs
    output = "features" if "features" in outputs else next(iter(outputs))
    if output != "features" and len(outputs) != 1:
        raise UserError(
            f"--features={path} returns {', '.join(outputs)}: name one of them features"
        )

    def call(batch: tf.Tensor) -> tf.Tensor:
        return signature(**{key: batch})[output]

    call.keeps_variables_alive = loaded  # type: ignore[attr-defined]
    return call, spec.shape.as_list(), spec.dtype


def _digest(path: str) -> str:
    """SHA-256 of a file, or of all files of a folder and their names."""
    digest = hashlib.sha256()
    files = (
        sorted(
            os.path.join(folder, file)
            for folder, _, names in os.walk(path)
            for file in names
        )
        if os.path.isdir(path)
        else [path]
    )
    for file in files:
        digest.update(os.path.relpath(file, path).encode())
        with open(file, "rb") as stream:
            digest.update(stream.read())
    return digest.hexdigest()
