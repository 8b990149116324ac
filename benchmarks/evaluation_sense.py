"""Test the small classifier's metrics on Fashion-MNIST: noise, blur, lost classes.

    python -m benchmarks.evaluation_sense --output=docs/data/evaluation_sense.json

Needs Debian's package `dataset-fashion-mnist`. The first half of the shuffled training
images is compared with the second half, unchanged and changed. Then 10,000 images of
each half show how much coverage falls if three classes are missing, over features of
the classifier and over pixels. Classes 5, 7 and 9 are shoes; 0, 2 and 3 resemble the
remaining classes.
"""

from lada_tf import app  # first: it imports TensorFlow without its log lines

# isort: split
import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl import flags
from scipy import ndimage

from benchmarks.report import print_markdown, write_json
from lada_tf import data
from lada_tf.data.arrays import FASHION_MNIST_DIR
from lada_tf.evaluation import (
    density_coverage,
    frechet_distance,
    precision_recall,
)
from lada_tf.evaluation.extract_features import compute_features
from lada_tf.evaluation.model_features import SmallClassifier

LABELS = Path(FASHION_MNIST_DIR, "train-labels-idx1-ubyte.gz")
LOST_CLASSES = ((5, 7, 9), (0, 2, 3))
MAX_IMAGES = 10_000  # for precision, recall and coverage


def main() -> None:
    source = data.open_source("fashion_mnist", 32)
    order = np.random.default_rng(0).permutation(len(source))
    with gzip.open(LABELS) as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)[order]
    images = source.images(order)
    half = len(images) // 2
    real = features(images[:half])
    report: dict = {"changes": {}, "lost_coverage": {}}
    for name, changed in versions(images[half:], labels[half:]):
        report["changes"][name] = metrics(real, features(changed))
    few = slice(MAX_IMAGES), slice(half, half + MAX_IMAGES)
    pixels = [images[part, ..., 0].reshape(MAX_IMAGES, -1) / 255 for part in few]
    spaces = {
        "small classifier": [features(images[part]) for part in few],
        "pixels": pixels,
    }
    for name, pair in spaces.items():
        report["lost_coverage"][name] = lost_coverage(*pair, labels[few[1]])
    print_markdown([cells(*row) for row in report["changes"].items()])
    print(report["lost_coverage"])
    write_json(flags.FLAGS.output, report)


def versions(
    images: np.ndarray, labels: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, uint8 images), from weak to strong changes."""
    yield "none", images
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
        name = f"without {lost} class{'es' * (lost > 1)}"
        yield name, images[labels >= lost]


def features(images: np.ndarray) -> np.ndarray:
    batches = (images[start : start + 500] for start in range(0, len(images), 500))
    return compute_features(batches, len(images), SmallClassifier()).features


def metrics(real: np.ndarray, generated: np.ndarray) -> dict[str, float]:
    precision, recall = precision_recall(real[:MAX_IMAGES], generated[:MAX_IMAGES])
    distance = frechet_distance(real, generated)
    return {"distance": distance, "precision": precision, "recall": recall}


def lost_coverage(
    real: np.ndarray, generated: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """Return by how much coverage falls without some classes."""
    _, whole = density_coverage(real, generated)
    falls = {}
    for lost in LOST_CLASSES:
        _, coverage = density_coverage(real, generated[~np.isin(labels, lost)])
        falls[", ".join(map(str, lost))] = whole - coverage
    return falls


def cells(change: str, row: dict[str, float]) -> dict[str, str]:
    """Return the table's line of one change."""
    return {
        "change": change,
        "FD (small classifier)": f"{row['distance']:#.3g}",
        "precision": f"{row['precision']:.3f}",
        "recall": f"{row['recall']:.3f}",
    }


if __name__ == "__main__":
    flags.DEFINE_string("output", None, "JSON file to write.")
    app.run(main)
