"""The distance rises with noise, blur and lost classes."""

import pathlib

import numpy as np
import pytest
from scipy import ndimage

from lada_tf.evaluation import frechet_distance, precision_recall
from lada_tf.evaluation.extract_features import compute_features, open_extractor

DATA = pathlib.Path(__file__).parents[1] / "data/evaluation/fashion_mnist.npz"


@pytest.fixture(scope="module")
def extractor():
    return open_extractor("small_classifier")


@pytest.fixture(scope="module")
def garments():
    """(half A, half B, labels of half B); uint8 (1200, 32, 32, 3)."""
    with np.load(DATA) as file:
        images, labels = file["images"], file["labels"]
    images = np.pad(images, ((0, 0), (2, 2), (2, 2)))[..., None].repeat(3, axis=3)
    return images[:1200], images[1200:], labels[1200:]


@pytest.fixture(scope="module")
def features(extractor):
    def features(images):
        parts = np.array_split(images, 6)
        return compute_features(parts, len(images), extractor).features

    return features


@pytest.fixture(scope="module")
def real(features, garments):
    return features(garments[0])


def noisy(images, deviation):
    noise = np.random.default_rng(0).normal(scale=deviation, size=images.shape)
    return np.clip(images + noise, 0, 255).astype(np.uint8)


def blurred(images, sigma):
    return ndimage.gaussian_filter(images, (0, sigma, sigma, 0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("distort", "strengths"), [(noisy, (10, 20, 40)), (blurred, (0.5, 1, 2))]
)
def test_the_distance_rises_with_noise_and_blur(
    features, garments, real, distort, strengths
):
    half = garments[1]
    distances = [frechet_distance(real, features(half))]
    distances += [
        frechet_distance(real, features(distort(half, strength)))
        for strength in strengths
    ]
    assert distances == sorted(distances)
    # The halves differ by chance only, less than by the weakest distortion.
    assert distances[0] < distances[1] / 1.5


@pytest.mark.slow
def test_lost_classes_cost_recall_and_not_precision(features, garments, real):
    _, half, labels = garments
    distances = [frechet_distance(real, features(half))]
    for lost in (1, 3, 5, 8):
        fewer = half[labels >= lost]
        partial, complete = features(fewer), features(half[: len(fewer)])
        distances.append(frechet_distance(real, partial))
        precision, recall = precision_recall(real, partial)
        # Compare with the same number of images of all classes.
        precision_of_all, recall_of_all = precision_recall(real, complete)
        # 0.06: three standard errors of a share of 0.9 among 239 images, the fewest.
        assert precision > precision_of_all - 0.06
        assert recall < recall_of_all
    assert recall < recall_of_all - 0.1
    assert distances == sorted(distances)


def test_an_image_of_another_size_is_scaled(extractor, garments):
    image = garments[0][:8]
    large = image.repeat(2, axis=1).repeat(2, axis=2)
    same, scaled = extractor(image).pool, extractor(large).pool
    # Halving a doubled image with an antialiasing filter blurs it a little.
    error = np.abs(same - scaled).mean() / np.abs(same).mean()
    assert error < 0.2


def test_features_are_the_same_on_every_machine(extractor):
    """The weights are in the package: a golden value of a golden image."""
    ramp = np.linspace(0, 255, 32 * 32 * 3).reshape(1, 32, 32, 3).astype(np.uint8)
    pool = extractor(ramp).pool
    assert pool.shape == (1, 144)
    assert pool.sum() == pytest.approx(42.9266, rel=1e-4)  # float32 sums
