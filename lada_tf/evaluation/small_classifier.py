"""A small convolutional classifier whose weights lie in the package.

It makes a Fréchet distance possible where nothing can be downloaded: the demo, a
training run's own curve, Fashion-MNIST. Its distances rank models on one data set; they
are not FID, and say little about detail finer than 32x32. The weights, float16 in
`small_classifier.npz`, were made by `scripts/train_small_classifier.py` from
Fashion-MNIST's labels and the identity of each of the package's portraits.
"""

import hashlib
import importlib.resources

import keras
import numpy as np

from lada_tf.evaluation.extractor import Extractor, Features

SIZE = 32
WIDTHS = (24, 48, 48, 96, 96)
STRIDES = (1, 2, 1, 2, 1)
WEIGHTS = "small_classifier.npz"
SCALE = 0.1  # brings the distances to the size that one knows from FID


class SmallClassifier(Extractor):
    """144 features an image: the averages of the last layers at 16x16 and 8x8.

    Images of another size are scaled to 32x32 with an antialiasing filter.
    """

    label = "small classifier"

    def __init__(self):
        resource = importlib.resources.files("lada_tf.evaluation") / WEIGHTS
        data = resource.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        self.identity = f"small_classifier:{digest[:12]}"
        self._model = build()
        with resource.open("rb") as file, np.load(file) as arrays:
            self._model.set_weights([arrays[key] for key in sorted(arrays.files)])

    def extract(self, images: np.ndarray) -> Features:
        scaled = images.astype(np.float32)
        if images.shape[1:3] != (SIZE, SIZE):
            scaled = keras.ops.image.resize(
                scaled, (SIZE, SIZE), interpolation="bilinear", antialias=True
            )
        return Features(pool=np.asarray(self._model.predict_on_batch(scaled)))


def build() -> keras.Model:
    """float32 (B, 32, 32, 3) in [0, 255] -> float32 (B, 144)."""
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
