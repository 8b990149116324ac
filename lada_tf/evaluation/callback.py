"""Keras callbacks that act at intervals, and metrics during training."""

import functools
from collections.abc import Callable

import keras

from lada_tf.data import ImageSource
from lada_tf.evaluation.distances import frechet_distance_of_statistics, kid
from lada_tf.evaluation.extract_features import Extractor, compute_features
from lada_tf.evaluation.image_sets import ImageSet, generated_images
from lada_tf.evaluation.reference import MANIFOLD_IMAGES, cached_reference
from lada_tf.runtime import without_tf32

SEED = 0


class IntervalCallback(keras.callbacks.Callback):
    """Call `act(images_seen)` when `model.images_seen` passes a multiple of `interval`.

    So a resumed run acts at the same numbers of images. Keras can call the callback
    after several steps. The callback also acts at the end of training.
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


class EvaluationCallback(IntervalCallback):
    """Measure the Fréchet distance and KID at intervals and at the end.

    Every measurement compares images of the EMA generator from the same latents with
    the same real images, so the curve shows the generator's progress and no sampling
    noise. The Fréchet distance of few images is biased upwards: compare it within a
    run, not with a FID of 50,000 images. KID has no such bias.

    Args:
        source: real images. Their features are computed here, or read from the cache.
        extractor: feature extractor.
        log: called with the number of images seen and a dict of the metrics by name.
        num_images: number of generated and real images; at most the source's size.
        every_images: number of images between two measurements.
        best_by: "fd" or "kid", the measure that selects the best generator.
        on_best: called with the measure and `selector` when the measure is the lowest
            so far.
        batch_size: number of images per call of the generator and the extractor.
        cache_dir: directory of cached features; by default `default_cache_dir()`.

    Attributes:
        selector: the measure, number of images and features. Only measures with equal
            selectors can be compared.
        best: lowest measure so far. To resume a run, set it to the value of the run.
        values: the last "fd" and "kid".
    """

    def __init__(
        self,
        source: ImageSource,
        extractor: Extractor,
        log: Callable[[int, dict[str, float]], None],
        num_images: int = 1000,
        every_images: int = 100_000,
        best_by: str = "fd",
        on_best: Callable[[float, str], None] | None = None,
        batch_size: int = 64,
        cache_dir: str | None = None,
    ):
        super().__init__(every_images)
        self._extractor = extractor
        self._log = log
        self._num_images = min(num_images, len(source))
        self._best_by = best_by
        self._on_best = on_best
        self._batch_size = batch_size
        self.best = float("inf")
        self.values: dict[str, float] = {}
        self.selector = f"{best_by} of {self._num_images} images: {extractor.identity}"
        with without_tf32():
            self._real = cached_reference(
                source, extractor, cache_dir, self._num_images, batch_size, False
            )

    @without_tf32()
    def act(self, images_seen: int) -> None:
        """Measure and log the distances."""
        batches = self._generated.batches(self._num_images)
        generated = compute_features(
            batches, self._num_images, self._extractor, MANIFOLD_IMAGES
        )
        distance = frechet_distance_of_statistics(self._real.pool, generated.pool)
        assert self._real.features is not None
        mean, _ = kid(self._real.features, generated.features)
        self.values.update(fd=distance, kid=mean)
        names = {"fd": "FID", "kid": "KID"}
        self._log(
            images_seen,
            {self._extractor.metric_name(names[k]): v for k, v in self.values.items()},
        )
        if self.values[self._best_by] < self.best:
            self.best = self.values[self._best_by]
            if self._on_best:
                self._on_best(self.best, self.selector)

    @functools.cached_property
    def _generated(self) -> ImageSet:
        return generated_images(self.model.ema_generator, SEED, self._batch_size)
