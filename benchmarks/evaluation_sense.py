"""Test the small classifier's metrics on Fashion-MNIST: noise, blur, lost classes.

python -m benchmarks.evaluation_sense --labels=train-labels-idx1-ubyte.gz

Compares half A of the training set with half B, unchanged and degraded. Also prints by
how much coverage falls without three classes: distinct ones, and ones like the others.
"""

import gzip

import numpy as np
from absl import flags
from scipy import ndimage

from lada_tf import app, data
from lada_tf.evaluation import (
    density_coverage,
    frechet_distance,
    precision_recall,
)
from lada_tf.evaluation.extract_features import compute_features
from lada_tf.evaluation.model_features import SmallClassifier

flags.DEFINE_string("labels", None, "IDX file of Fashion-MNIST's training labels.")
flags.DEFINE_integer("num_images", 60000, "Images of both halves.")
flags.mark_flag_as_required("labels")
FLAGS = flags.FLAGS


def main() -> None:
    source = data.open_source("fashion_mnist", 32)
    order = np.random.default_rng(0).permutation(len(source))[: FLAGS.num_images]
    with gzip.open(FLAGS.labels) as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)[order]
    images = source.images(order)
    half = len(images) // 2
    extractor = SmallClassifier()
    real = features(images[:half], extractor)
    other = features(images[half:], extractor)
    print_lost_coverage("small classifier", real, other, labels[half:])
    pixels = images[..., 0].reshape(len(images), -1).astype(np.float32)
    print_lost_coverage("pixels", pixels[:half], pixels[half:], labels[half:])
    print(f"{'half B':24} {'FD':>9} precision recall")
    for name, degraded in versions(images[half:], labels[half:]):
        generated = features(degraded, extractor)
        distance = frechet_distance(real, generated)
        precision, recall = precision_recall(real[:10000], generated[:10000])
        print(f"{name:24} {distance:9.5f} {precision:9.4f} {recall:6.4f}", flush=True)


def print_lost_coverage(name: str, real, generated, labels: np.ndarray) -> None:
    real, generated, labels = real[:10000], generated[:10000], labels[:10000]
    _, whole = density_coverage(real, generated)
    for lost in ((5, 7, 9), (0, 2, 3)):
        _, coverage = density_coverage(real, generated[~np.isin(labels, lost)])
        print(
            f"{name}: without classes {lost}, coverage falls by {whole - coverage:.3f}"
        )


def versions(images: np.ndarray, labels: np.ndarray):
    """Yield (name, uint8 images), from weak to strong degradation."""
    yield "as it is", images
    random = np.random.default_rng(1)
    noise = random.standard_normal(images.shape, np.float32)
    for deviation in (5, 10, 20, 40):
        noisy = images + deviation * noise
        yield f"noise of {deviation} levels", np.clip(noisy, 0, 255).astype(np.uint8)
    for sigma in (0.5, 1.0, 2.0):
        yield (
            f"blur of {sigma} pixels",
            ndimage.gaussian_filter(images, (0, sigma, sigma, 0)),
        )
    for lost in (1, 3, 5, 8):
        yield f"without {lost} classes", images[labels >= lost]


def features(images: np.ndarray, extractor) -> np.ndarray:
    batches = (images[start : start + 500] for start in range(0, len(images), 500))
    return compute_features(batches, len(images), extractor).features


if __name__ == "__main__":
    app.run(main)
