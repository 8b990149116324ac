"""A small convolutional classifier whose weights are part of the package.

It gives a Fréchet distance where nothing can be downloaded: in the demo, during a
training run, for Fashion-MNIST. Its distances rank models on one data set. They are not
FID, and they are insensitive to detail finer than 32x32.

`scripts/train_small_classifier.py` trained the weights on the labels of Fashion-MNIST
and the identities of the package's portraits. They are stored in float16.
"""

import hashlib
import importlib.resources
import io

import keras
import numpy as np

from lada_tf.evaluation.extract_features import Extractor, Features

SIZE = 32
WIDTHS = (24, 48, 48, 96, 96)
STRIDES = (1, 2, 1, 2, 1)
WEIGHTS = "small_classifier.npz"
SCALE = 0.1  # gives distances of the same order of magnitude as FID


class SmallClassifier(Extractor):
    """Extract 144 features per image: the mean maps of the last 16x16 and 8x8 layers.

    Images of another size are resized to 32x32 with an antialiasing filter.
    """

    label = "small classifier"

    def __init__(self) -> None:
        resource = importlib.resources.files("lada_tf.evaluation") / WEIGHTS
        data = resource.read_bytes()
        self.identity = f"small_classifier:{hashlib.sha256(data).hexdigest()[:12]}"
        self._model = build_model()
        with np.load(io.BytesIO(data)) as arrays:
            self._model.set_weights([arrays[key] for key in sorted(arrays.files)])

    def extract(self, images: np.ndarray) -> Features:
        scaled = images.astype(np.float32)
        if images.shape[1:3] != (SIZE, SIZE):
            scaled = keras.ops.image.resize(
                scaled, (SIZE, SIZE), interpolation="bilinear", antialias=True
            )
        return Features(pool=np.asarray(self._model.predict_on_batch(scaled)))


def build_model() -> keras.Model:
    """Return the network, float32 (B, 32, 32, 3) in [0, 255] -> float32 (B, 144)."""
    x = inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(x)
    averages = []
    for width, stride in zip(WIDTHS, STRIDES, strict=True):
        x = keras.layers.Conv2D(
            width, 3, stride, "same", activation="relu", kernel_initializer="he_normal"
        )(x)
        averages.append(keras.layers.GlobalAveragePooling2D()(x))
    features = keras.layers.Concatenate()([averages[2], averages[4]])
    features = keras.layers.Rescaling(SCALE)(features)
    return keras.Model(inputs, features, name="small_classifier")
