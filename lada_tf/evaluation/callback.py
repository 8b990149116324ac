"""Keras callbacks that act at intervals, and the Fréchet distance during training."""

import functools
from collections.abc import Callable

import keras
import numpy as np

from lada_tf.data import ImageSource
from lada_tf.evaluation.distances import frechet_distance
from lada_tf.evaluation.extract_features import Extractor, compute_features
from lada_tf.evaluation.image_sets import ImageSet, generated_images
from lada_tf.evaluation.statistics import split_rows

SEED = 0


class IntervalCallback(keras.callbacks.Callback):
    """Call `act(images_seen)` when `model.images_seen` passes a multiple of `interval`.

    The multiples make a resumed run act at the same counts. Several steps can lie
    between two calls of the callback. The end of training is an action too.
    """

    def __init__(self, interval: int):
        super().__init__()
        self.interval = interval

    def images_until_due(self) -> int:
        """Return the number of images until the next action."""
        return self.interval - self.model.images_seen % self.interval

    def act(self, images_seen: int) -> None:
        """Do the work of the callback."""
        raise NotImplementedError

    def on_train_begin(self, logs=None):
        self._last_images_seen = self.model.images_seen
        self._acted_at: int | None = None

    def on_train_batch_end(self, batch, logs=None):
        last, images_seen = self._last_images_seen, self.model.images_seen
        self._last_images_seen = images_seen
        if images_seen // self.interval > last // self.interval:
            self.act_once()

    def on_train_end(self, logs=None):
        self.act_once()

    def act_once(self) -> None:
        """Call `act`, unless it was called for this number of images."""
        if self._acted_at != self.model.images_seen:
            self._acted_at = self.model.images_seen
            self.act(self._acted_at)


class FrechetDistanceCallback(IntervalCallback):
    """Measure the Fréchet distance of the EMA generator at intervals and at the end.

    The real features are computed once. Every measurement uses the same latents, so the
    curve shows the generator's progress and no sampling noise. The distance of few
    images is biased upwards: compare it within a run, not with a FID of 50,000 images.

    Args:
        source: real images.
        extractor: feature extractor.
        log: called with the number of images seen and a dict of the distance by name.
        num_images: number of generated and real images; at most the source's size.
        every_images: number of images between two measurements.
        on_best: called with every distance that is lower than all before it.
        best: lowest distance before the run was resumed.
        batch_size: number of images per call of the generator and the extractor.
    """

    def __init__(
        self,
        source: ImageSource,
        extractor: Extractor,
        log: Callable[[int, dict[str, float]], None],
        num_images: int = 1000,
        every_images: int = 100_000,
        on_best: Callable[[float], None] | None = None,
        best: float = float("inf"),
        batch_size: int = 64,
    ):
        super().__init__(every_images)
        self._source = source
        self._extractor = extractor
        self._log = log
        self._num_images = min(num_images, len(source))
        self._on_best = on_best
        self.best = best
        self._batch_size = batch_size

    def act(self, images_seen: int) -> None:
        """Measure and log the distance."""
        batches = self._generated.batches(self._num_images)
        generated = compute_features(batches, self._num_images, self._extractor)
        distance = frechet_distance(self._real, generated.features)
        self._log(images_seen, {self._extractor.metric_name("FID"): distance})
        if distance < self.best:
            self.best = distance
            if self._on_best:
                self._on_best(distance)

    @functools.cached_property
    def _real(self) -> np.ndarray:
        return real_features(
            self._source, self._extractor, self._num_images, self._batch_size
        )

    @functools.cached_property
    def _generated(self) -> ImageSet:
        return generated_images(self.model.ema_generator, SEED, self._batch_size)


def real_features(
    source: ImageSource, extractor: Extractor, num_images: int, batch_size: int = 64
) -> np.ndarray:
    """Return the features of random, but always the same images: (num_images, d)."""
    order = np.random.default_rng(SEED).permutation(len(source))
    parts = split_rows(order[:num_images], batch_size)
    batches = (source.images(part) for part in parts)
    return compute_features(batches, num_images, extractor).features
