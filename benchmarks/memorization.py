"""Measure the time and memory of the memorization report on random images and features.

python -m benchmarks.memorization --num_images=50000
"""

import resource
import time

import numpy as np
import tensorflow as tf
from absl import flags

from lada_tf import app
from lada_tf.data import ImageSource
from lada_tf.evaluation.extract_features import Extractor, Features
from lada_tf.evaluation.image_sets import ImageSet
from lada_tf.evaluation.memorization_report import find_memorization
from lada_tf.evaluation.statistics import split_rows

flags.DEFINE_integer("num_images", 50_000, "Training images, and generated images.")
flags.DEFINE_integer("num_held_out", 10_000, "Held-out images. 0 leaves them out.")
flags.DEFINE_integer("num_features", 2048, "Features per image, as of Inception.")
flags.DEFINE_integer("image_size", 32, "Height and width in pixels.")
FLAGS = flags.FLAGS


class RandomSource(ImageSource):
    """Random images that take no memory."""

    def __init__(self, seed: int, count: int):
        self.image_size, self.fingerprint = FLAGS.image_size, f"random:{seed}"
        self._seed, self._count = seed, count

    def __len__(self) -> int:
        return self._count

    def gather(self, indices: tf.Tensor) -> tf.Tensor:
        random = np.random.default_rng([self._seed, *indices.numpy()])
        shape = (len(indices), self.image_size, self.image_size, 3)
        return tf.constant(random.integers(0, 256, shape, np.uint8))


class RandomFeatures(Extractor):
    """Random features that take no time."""

    label, identity = "random", "random"

    def extract(self, images: np.ndarray) -> Features:
        random = np.random.default_rng(list(images[0, 0].ravel()))
        shape = (len(images), FLAGS.num_features)
        return Features(random.standard_normal(shape, np.float32))


def main() -> None:
    training, generated = (RandomSource(seed, FLAGS.num_images) for seed in (0, 1))
    images = ImageSet(
        {},
        FLAGS.image_size,
        None,
        lambda count: map(generated.images, split_rows(np.arange(count), 64)),
        generated.images,
    )
    held_out = RandomSource(2, FLAGS.num_held_out) if FLAGS.num_held_out else None
    print(f"{peak_gb():.2f} GB before", flush=True)
    start = time.perf_counter()
    find_memorization(images, len(generated), RandomFeatures(), training, held_out)
    print(f"{peak_gb():.2f} GB at most, {time.perf_counter() - start:.0f} s")


def peak_gb() -> float:
    """Return the peak memory of this process so far, with Python and TensorFlow."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    app.run(main)
