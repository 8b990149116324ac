"""How an exported model's images differ from those of Keras, and how long they take."""

import dataclasses
import time

import numpy as np

from lada_tf.evaluation.extract_features import compute_features
from lada_tf.evaluation.frechet import frechet_distance_of_statistics
from lada_tf.evaluation.small_classifier import SmallClassifier
from lada_tf.runtime import without_tf32
from lada_tf.sampling.grids import to_uint8

NUM_LATENTS = 64
DISTANCE_IMAGES = 512
BATCH = 64


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Exported model against Keras on the same latents.

    Attributes:
        max_error: largest difference of a pixel, images meant for [-1, 1].
        mean_error: mean absolute difference of the pixels.
        map_error: largest difference in the attention maps.
        time_ratio: seconds for a batch of 64, over those of TensorFlow's graph.
        distance: "FD (small classifier)" between the images of either; None where it
            was not asked for.
    """

    max_error: float
    mean_error: float
    map_error: float
    time_ratio: float
    distance: float | None = None

    def __str__(self) -> str:
        text = (
            f"largest pixel error {self.max_error:.1e}, mean {self.mean_error:.1e}, "
            f"attention maps {self.map_error:.1e}; {self.time_ratio:.2f}x TensorFlow's "
            f"time at batch {BATCH}"
        )
        if self.distance is not None:
            text += f"; FD (small classifier) to Keras' images {self.distance:.4f}"
        return text


@without_tf32()
def compare(model, generator, with_distance: bool = False) -> Comparison:
    """Compares an `ExportedModel` with the `Generator` that it was made from.

    The differences are of 64 latents; the distance, of 512 images of either.
    """
    import tensorflow as tf

    graph = tf.function(generator)
    latents = np.random.default_rng(0).standard_normal(
        (DISTANCE_IMAGES if with_distance else NUM_LATENTS, generator.latent_dim)
    )
    batches = np.split(latents.astype(np.float32), len(latents) // BATCH)
    pixel_errors, map_errors = [], []
    # Not at once: a runtime may get its first call right and the next one wrong.
    for few in np.split(batches[0], 4):
        images, maps = model(few, return_attention_maps=True)
        expected, expected_maps = generator(few, return_attention_maps=True)
        pixel_errors.append(np.abs(images - np.asarray(expected)))
        map_errors += [
            np.abs(stage - np.asarray(other)).max()
            for stage, other in zip(maps, expected_maps, strict=True)
        ]
    error = np.stack(pixel_errors)
    distance = None
    if with_distance:
        distance = frechet_distance_of_statistics(
            _statistics(lambda z: graph(z).numpy(), batches),
            _statistics(model, batches),
        )
    return Comparison(
        float(error.max()),
        float(error.mean()),
        float(np.max(map_errors)),
        _seconds(model, batches[0]) / _seconds(graph, batches[0]),
        distance,
    )


def _statistics(model, batches):
    images = (to_uint8(_finite(model(batch))) for batch in batches)
    count = sum(map(len, batches))
    return compute_features(images, count, SmallClassifier(), num_features=0).pool


def _finite(images):
    if not np.isfinite(images).all():
        raise ValueError("images have NaN or infinite pixels")
    return images


def _seconds(model, latents) -> float:
    """The least of 3, after one that warms up."""
    times = []
    for _ in range(4):
        start = time.perf_counter()
        np.asarray(model(latents))
        times.append(time.perf_counter() - start)
    return min(times[1:])
