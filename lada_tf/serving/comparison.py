"""Compare an exported model with the generator it was exported from."""

import dataclasses
import timeit
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from lada_tf.evaluation.distances import frechet_distance_of_statistics
from lada_tf.evaluation.extract_features import compute_features
from lada_tf.evaluation.model_features import SmallClassifier
from lada_tf.models import Generator
from lada_tf.runtime import without_tf32
from lada_tf.sampling import to_uint8
from lada_tf.serving.exported import ExportedModel

BATCH = 64
NUM_DISTANCE_IMAGES = 512


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Differences between an exported model and Keras, for images in [-1, 1].

    Attributes:
        max_error: maximum absolute difference of a pixel.
        mean_error: mean absolute difference of the pixels.
        map_error: maximum absolute difference in the attention maps.
        time_ratio: seconds for a batch of 64, relative to a `tf.function` of Keras.
        distance: "FD (small classifier)" between both sets of images, if computed.
    """

    max_error: float
    mean_error: float
    map_error: float
    time_ratio: float
    distance: float | None = None

    def __str__(self) -> str:
        text = (
            f"largest pixel error {self.max_error:.1e} (pixels are in [-1, 1]), mean "
            f"{self.mean_error:.1e}, largest error of attention maps "
            f"{self.map_error:.1e}; {BATCH} images take {self.time_ratio:.2f} times as "
            "long as with Keras"
        )
        if self.distance is not None:
            text += (
                f"; FD (small classifier) to the images of Keras: {self.distance:.4f}"
            )
        return text


@without_tf32()
def compare(
    model: ExportedModel, generator: Generator, with_distance: bool = False
) -> Comparison:
    """Compare an exported model with its generator on 64 latents.

    Args:
        model: the exported model.
        generator: the generator it was exported from.
        with_distance: whether to compute the Fréchet distance, on 512 latents.
    """
    count = NUM_DISTANCE_IMAGES if with_distance else BATCH
    latents = np.random.default_rng(0).standard_normal((count, generator.latent_dim))
    batches = np.split(latents.astype(np.float32), count // BATCH)
    pixel_errors, map_errors = [], []
    # Several calls: a runtime can be right at its first call and wrong at the next one.
    for few in np.split(batches[0], 4):
        images, maps = model(few, return_attention_maps=True)
        expected, expected_maps = generator(few, return_attention_maps=True)
        pixel_errors.append(np.abs(images - np.asarray(expected)))
        map_errors += [
            np.abs(stage - np.asarray(other)).max()
            for stage, other in zip(maps, expected_maps, strict=True)
        ]
    error = np.stack(pixel_errors)
    graph = tf.function(generator)
    distance = None
    if with_distance:
        distance = frechet_distance_of_statistics(
            _statistics(graph, batches), _statistics(model, batches)
        )
    return Comparison(
        float(error.max()),
        float(error.mean()),
        float(np.max(map_errors)),
        _seconds(model, batches[0]) / _seconds(graph, batches[0]),
        distance,
    )


def _statistics(model: Callable, batches: list[np.ndarray]):
    """Return the statistics of the small classifier's features of a model's images."""
    images = (np.asarray(to_uint8(_check_finite(model(batch)))) for batch in batches)
    count = len(batches) * BATCH
    return compute_features(images, count, SmallClassifier(), num_features=0).pool


def _check_finite(images):
    if not np.isfinite(images).all():
        raise ValueError("images have NaN or infinite pixels")
    return images


def _seconds(model: Callable, latents: np.ndarray) -> float:
    """Return the minimum time of 3 calls, after one for warm-up."""
    times = timeit.repeat(lambda: np.asarray(model(latents)), number=1, repeat=4)
    return min(times[1:])
