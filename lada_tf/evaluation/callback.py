"""The Fréchet distance during training, at a bounded cost."""

from collections.abc import Callable

import keras
import numpy as np

from lada_tf.data import ImageSource
from lada_tf.evaluation.extract_features import Extractor, compute_features
from lada_tf.evaluation.frechet import frechet_distance
from lada_tf.evaluation.image_sets import ImageSet, generated_images
from lada_tf.evaluation.statistics import split_rows

Log = Callable[[int, dict[str, float]], None]
SEED = 0


class FrechetDistanceCallback(keras.callbacks.Callback):
    """Scores the EMA generator every so many images, and tells of each new best.

    The real features are taken once, of at most `num_images` random images; every
    evaluation generates as many from the same latents, so that the curve shows the
    generator's progress and not the draw. A distance of few images is biased upwards:
    compare it within a run, not with a 50,000-image figure.

    The cost of each is bounded by `num_images`, and nothing depends on the clock: the
    same run logs the same values.

    The model is asked for `ema_generator`, `latent_dim` and `images_seen` (int).

    Args:
        source: real images.
        extractor: of the features.
        log: called as `log(images_seen, {name: distance})`.
        num_images: real images at most, and generated ones.
        every_images: images between two evaluations.
        on_best: called with the distance where it is the lowest yet, to keep the
            checkpoint.
        best: the lowest distance of an earlier part of the same run.
        batch_size: images at a time.

    Example:
        extractor = open_extractor("small_classifier")
        callback = FrechetDistanceCallback(source, extractor, log)
        gan.fit(dataset, callbacks=[callback])
    """

    def __init__(
        self,
        source: ImageSource,
        extractor: Extractor,
        log: Log,
        num_images: int = 1000,
        every_images: int = 100_000,
        on_best: Callable[[float], None] | None = None,
        best: float = float("inf"),
        batch_size: int = 64,
    ):
        super().__init__()
        self._source = source
        self._extractor = extractor
        self._log = log
        self._num_images = min(num_images, len(source))
        self._every_images = every_images
        self._on_best = on_best
        self.best = best
        self._batch_size = batch_size
        self._name = extractor.metric_name("FID")
        self._real: np.ndarray | None = None
        self._generated: ImageSet | None = None

    def on_train_begin(self, logs=None):
        self._scored_at: int | None = None
        self._due = self._next_multiple(self.model.images_seen)

    def on_train_batch_end(self, batch, logs=None):
        # Several steps may lie between two calls: a threshold crossed, not a multiple.
        if self.model.images_seen >= self._due:
            self.evaluate()

    def on_train_end(self, logs=None):
        if self.model.images_seen != self._scored_at:
            self.evaluate()

    def evaluate(self) -> float:
        """Measures, logs and returns the distance of the model as it is now."""
        images_seen = self.model.images_seen
        if self._real is None or self._generated is None:
            self._real = real_features(
                self._source, self._extractor, self._num_images, self._batch_size
            )
            self._generated = generated_images(
                self.model.ema_generator, self.model.latent_dim, SEED, self._batch_size
            )
        generated = self._generated.batches(self._num_images)
        features = compute_features(
            generated, self._num_images, self._extractor
        ).features
        distance = frechet_distance(self._real, features)
        self._log(images_seen, {self._name: distance})
        if distance < self.best:
            self.best = distance
            if self._on_best:
                self._on_best(distance)
        self._scored_at = images_seen
        self._due = self._next_multiple(images_seen)
        return distance

    def _next_multiple(self, images_seen: int) -> int:
        return (images_seen // self._every_images + 1) * self._every_images


def real_features(
    source: ImageSource, extractor: Extractor, num_images: int, batch_size: int = 64
) -> np.ndarray:
    """float32 (num_images, d), the features of random images, always the same."""
    order = np.random.default_rng(SEED).permutation(len(source))
    parts = split_rows(order[:num_images], batch_size)
    real = (source.images(part) for part in parts)
    return compute_features(real, num_images, extractor).features
