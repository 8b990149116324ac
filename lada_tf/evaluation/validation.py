"""The distances of `LadaGAN.evaluate`: `kid` and `fd`."""

import warnings
from collections.abc import Callable

import keras
import numpy as np

from lada_tf.errors import UserError
from lada_tf.evaluation.distances import frechet_distance, kid
from lada_tf.evaluation.extract_features import (
    Extractor,
    Features,
    compute_features,
    open_extractor,
)
from lada_tf.evaluation.image_sets import generated_images
from lada_tf.sampling import to_uint8

NO_DISTANCES = {"kid": float("nan"), "fd": float("nan")}


class FeatureDistances:
    """KID and Fréchet distance of a generator to real images that come in batches.

    Args:
        features: name or path as for `open_extractor`, an `Extractor`, or a callable,
            uint8 images (n, height, width, 3) → array (n, d).
    """

    def __init__(self, features: str | Extractor | Callable):
        if isinstance(features, str):
            self._extractor = open_extractor(features)
        elif isinstance(features, Extractor):
            self._extractor = features
        elif callable(features):
            self._extractor = CallableFeatures(features)
        else:
            raise UserError(f"features={features!r} is not a name or callable")
        self._generator: keras.Model | None = None
        self.reset()

    def reset(self) -> None:
        """Forget the real images."""
        self._real: list[np.ndarray] = []
        self._results: dict[str, float] | None = None

    def update(self, images: np.ndarray) -> None:
        """Add real images, float (n, height, width, 3) in [-1, 1]."""
        if len(images):
            self._real.append(self._extractor(np.asarray(to_uint8(images))).pool)
            self._results = None

    def results(self, generator: keras.Model) -> dict[str, float]:
        """Return "kid" and "fd" for as many generated images as there are real ones."""
        if self._results is None:
            self._results = self._compute(generator)
        return self._results

    def _compute(self, generator):
        real = np.concatenate(self._real) if self._real else np.zeros((0, 1))
        count = len(real)
        if count < 2:
            return NO_DISTANCES
        if self._generator is not generator:  # keep the graph for the next epoch
            self._generator = generator
            self._generated = generated_images(generator)
        batches = self._generated.batches(count)
        try:
            generated = compute_features(batches, count, self._extractor).features
        except UserError as error:  # callbacks decide what to do after a divergence
            warnings.warn(f"kid and fd are NaN: {error}", stacklevel=2)
            return NO_DISTANCES
        return {
            "kid": kid(real, generated)[0],
            "fd": frechet_distance(real, generated),
        }


class CallableFeatures(Extractor):
    """Extract features with a function of the user."""

    def __init__(self, function: Callable):
        self._function = function
        self.label = self.identity = getattr(function, "__name__", "callable")

    def extract(self, images: np.ndarray) -> Features:
        features = np.asarray(self._function(images), np.float32)
        if features.ndim != 2 or len(features) != len(images):
            raise UserError(
                f"features={self.label}: must return an array ({len(images)}, d), not "
                f"of the shape {features.shape}"
            )
        return Features(features)
