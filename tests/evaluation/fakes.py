"""Fakes of an image source, an extractor and a generator."""

import keras
import numpy as np

from lada_tf.evaluation.extract_features import Extractor, Features
from tests.evaluation.recipes import images


class FakeSource:
    def __init__(self, count=60, size=8, seed=0):
        self.array = images(seed, count, size)
        self.image_size = size
        self.fingerprint = f"fake:{seed}:{count}"
        self.reads = 0

    def __len__(self):
        return len(self.array)

    def images(self, indices):
        self.reads += len(indices)
        return self.array[indices]


class FakeExtractor(Extractor):
    """Returns pixels as all three kinds of features."""

    def __init__(self, label=None, identity="inception_graph:fake"):
        self.label, self.identity = label, identity

    def extract(self, images):
        pool = images[:, :2, :2].reshape(len(images), 12).astype(np.float32)
        spatial = images[:, 2:4, :2].reshape(len(images), 12).astype(np.float32)
        return Features(pool, spatial, pool / pool.sum(axis=1, keepdims=True))


def fake_generator(size=8, latent_dim=128):
    """Return a model with fixed weights: (n, latent_dim) -> (n, size, size, 3)."""
    inputs = keras.Input((latent_dim,))
    x = keras.layers.Dense(
        size * size * 3, kernel_initializer=keras.initializers.RandomNormal(0, 0.05, 1)
    )(inputs)
    generator = keras.Model(inputs, keras.layers.Reshape((size, size, 3))(x))
    generator.image_size, generator.latent_dim = size, latent_dim
    return generator
