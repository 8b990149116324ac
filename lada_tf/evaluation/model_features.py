"""Features of Keras' InceptionV3, the small classifier, and any model on disk."""

import contextlib
import hashlib
import importlib.resources
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from lada_tf.errors import UserError
from lada_tf.evaluation.extract_features import Extractor, Features
from lada_tf.io import sha256, user_path
from lada_tf.models.networks import keras_defaults

SMALL_SIZE = (32, 32)


class KerasInceptionV3(Extractor):
    """Extract 2,048 features with Keras' InceptionV3, as the authors' repository does.

    The weights and the resize (half-pixel bilinear, to 299x299) differ from those of
    the 2015 graph, so its distances are not comparable with FID.
    """

    label = "Keras InceptionV3"
    WEIGHTS_FILE = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"

    def __init__(self, weights: str | None = "imagenet"):
        try:
            # Keras reports downloads on stdout, which is for results only.
            with contextlib.redirect_stdout(sys.stderr), keras_defaults():
                network = keras.applications.InceptionV3(
                    include_top=False, weights=weights, pooling="avg"
                )
                inputs = keras.Input((None, None, 3))
                x = keras.layers.Resizing(299, 299)(inputs)
                x = keras.layers.Rescaling(1 / 127.5, -1)(x)
                self._model = keras.Model(inputs, network(x))
        except Exception as error:  # downloads and HDF5 raise many types
            raise UserError(
                f"no weights for Keras InceptionV3 ({error}): put {self.WEIGHTS_FILE} "
                "from keras-applications into ~/.keras/models, or choose other features"
            ) from error
        weights_bytes = b"".join(array.tobytes() for array in network.get_weights())
        digest = hashlib.sha256(weights_bytes).hexdigest()
        self.identity = f"keras_inception_v3:{digest[:12]}"

    def extract(self, images: np.ndarray) -> Features:
        return Features(np.asarray(self._model.predict_on_batch(images)))


class SmallClassifier(Extractor):
    """Extract 144 features with a small network whose weights are in the package.

    It works without downloads: in the demo, during a training run, for Fashion-MNIST.
    Its distances rank models on one data set. They are not FID, and they are
    insensitive to detail finer than 32x32: larger images are resized (antialiased).

    `scripts/train_small_classifier.py` trained the weights on the labels of
    Fashion-MNIST and the identities of the package's portraits.
    """

    label = "small classifier"

    def __init__(self) -> None:
        directory = importlib.resources.files("lada_tf.evaluation")
        data = (directory / "small_classifier.npz").read_bytes()
        self.identity = f"small_classifier:{hashlib.sha256(data).hexdigest()[:12]}"
        with keras_defaults():
            self._model = build_small_classifier()
        with np.load(io.BytesIO(data)) as arrays:
            self._model.set_weights([arrays[key] for key in sorted(arrays.files)])

    def extract(self, images: np.ndarray) -> Features:
        scaled = images.astype(np.float32)
        if images.shape[1:3] != SMALL_SIZE:
            scaled = keras.ops.image.resize(
                scaled,
                SMALL_SIZE,
                interpolation="bilinear",
                antialias=True,
                data_format="channels_last",
            )
        return Features(pool=np.asarray(self._model.predict_on_batch(scaled)))


class ModelFeatures(Extractor):
    """Extract features with a `.keras` file or a SavedModel directory.

    The model takes RGB images (n, height, width, 3) in [0, 255], uint8 or float, and
    does its own scaling. If its height and width are fixed, images are resized
    (bilinear, antialiased). It returns vectors (n, d), or maps, which are averaged over
    their positions. If a SavedModel has several outputs, `features` is used.
    """

    def __init__(self, path: str):
        path = user_path(path)
        name = os.path.basename(os.path.normpath(path))
        self.label = name
        try:
            self._call, shape, self._dtype = _load(path)
        except UserError:
            raise
        except Exception as error:  # Keras and TensorFlow raise many types
            raise UserError(
                f"features={path} is not a .keras file or SavedModel directory that "
                f"can be loaded: {str(error)[:200]}"
            ) from error
        if len(shape) != 4 or shape[-1] not in (3, None):
            raise UserError(
                f"features={path}: the model's input has the shape {tuple(shape)}, "
                "not (n, height, width, 3)"
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


def _load(path: str) -> tuple[Callable, list[int | None], tf.DType]:
    """Return a callable, batch -> features, and the shape and dtype of its input."""
    if not os.path.exists(path):
        raise UserError(
            f"features={path} does not exist. Expected inception, keras_inception_v3, "
            "small_classifier, or the path of a .keras or .onnx file or SavedModel"
        )
    if path.lower().endswith((".keras", ".h5")):
        model = keras.models.load_model(path, compile=False)
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            raise UserError(
                f"features={path}: the model must have one input and one output"
            )
        dtype = tf.as_dtype(keras.backend.standardize_dtype(model.inputs[0].dtype))
        return model.predict_on_batch, model.inputs[0].shape, dtype
    loaded = tf.saved_model.load(path)
    signature = loaded.signatures.get("serving_default")
    inputs = signature.structured_input_signature[1] if signature else {}
    if len(inputs) != 1:
        raise UserError(
            f"features={path}: the model must have a signature serving_default with "
            "one input"
        )
    [(key, spec)] = inputs.items()
    outputs = list(signature.structured_outputs)
    output = "features" if "features" in outputs else outputs[0]
    if output != "features" and len(outputs) != 1:
        raise UserError(
            f"features={path}: the model has the outputs {', '.join(outputs)}. Export "
            "it with one output, or with one that has the name features"
        )

    def call(batch: tf.Tensor) -> tf.Tensor:
        return signature(**{key: batch})[output]

    call.loaded = loaded  # type: ignore[attr-defined]  # keeps its variables alive
    return call, spec.shape.as_list(), spec.dtype


def build_small_classifier() -> keras.Model:
    """Return the network, float32 (B, 32, 32, 3) in [0, 255] -> float32 (B, 144)."""
    x = inputs = keras.Input((*SMALL_SIZE, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(x)
    averages = []
    for width, stride in ((24, 1), (48, 2), (48, 1), (96, 2), (96, 1)):
        x = keras.layers.Conv2D(
            width, 3, stride, "same", activation="relu", kernel_initializer="he_normal"
        )(x)
        averages.append(keras.layers.GlobalAveragePooling2D()(x))
    features = keras.layers.Concatenate()([averages[2], averages[4]])
    # This scale gives distances of the same order of magnitude as FID.
    features = keras.layers.Rescaling(0.1)(features)
    return keras.Model(inputs, features, name="small_classifier")


def _digest(path: str) -> str:
    """Return the SHA-256 of a file, or of a directory's file names and contents."""
    if not os.path.isdir(path):
        return sha256(path)
    files = sorted(str(file) for file in Path(path).rglob("*") if file.is_file())
    lines = [f"{os.path.relpath(file, path)} {sha256(file)}" for file in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
