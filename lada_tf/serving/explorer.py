"""Compute the pictures of the demo page."""

import functools
from collections.abc import Sequence

import numpy as np

from lada_tf.models import Generator
from lada_tf.sampling import Sampler, interpolate, latents, to_uint8
from lada_tf.sampling.grids import attention_overlays
from lada_tf.serving.exported import ExportedModel

MAX_IMAGES = 64
NUM_DIRECTIONS = 6
DIRECTION_SAMPLES = 256


class Explorer:
    """Pictures of one generator. A seed and an index identify an image.

    Args:
        generator: the EMA generator of a run, or an `ExportedModel`.
    """

    def __init__(self, generator: Generator | ExportedModel):
        self._generator = generator
        self._sampler = Sampler(generator)
        self._latent_dim = generator.latent_dim

    def gallery(self, seed: int, count: int) -> np.ndarray:
        """Return the first images of a seed, uint8 (count, H, W, 3)."""
        return self._images(self._latents(seed, range(count)))

    def between(
        self, seed: int, first: int, second: int, steps: int, spherical: bool
    ) -> np.ndarray:
        """Return images on the path between two indices, uint8 (steps, H, W, 3)."""
        start, end = self._latents(seed, [first, second])[:, None]
        weights = np.linspace(0, 1, steps)
        return self._images(interpolate(start, end, weights, spherical))

    def moved(self, seed: int, index: int, amounts: list[float]) -> np.ndarray:
        """Return an image moved along the principal directions, uint8 (H, W, 3).

        Args:
            seed: seed of the latents.
            index: index of the latent.
            amounts: distance along each direction, in standard deviations of a latent.
        """
        latent = self._latents(seed, [index])
        if any(amounts):  # computing the directions takes a while
            latent = latent + np.asarray(amounts) @ self.directions[: len(amounts)]
        return self._images(latent)[0]

    def attention(self, seed: int, index: int) -> list[tuple[np.ndarray, str]]:
        """Return pictures, uint8 (H, W, 3), with captions.

        Per stage, these are the image, and the image under each head's attention map.
        """
        images, maps = self._generator(
            self._latents(seed, [index]), return_attention_maps=True
        )
        image = np.asarray(to_uint8(images))[0]
        pictures = []
        for stage in map(np.asarray, maps):
            grid = round(stage.shape[-1] ** 0.5)
            pictures.append((image, "the image"))
            for head, overlay in enumerate(attention_overlays(image[None], [stage])):
                pictures.append((overlay[0], f"{grid}×{grid}, head {head + 1}"))
        return pictures

    @functools.cached_property
    def directions(self) -> np.ndarray:
        """Orthonormal latent directions along which the images change most.

        A linear regression predicts the images of random latents from the latents. The
        directions are the left singular vectors of its coefficients (latent_dim,
        pixels), largest singular value first. Float64 (NUM_DIRECTIONS, latent_dim).
        """
        dim = self._latent_dim
        latents = np.random.default_rng(0).standard_normal(
            (max(DIRECTION_SAMPLES, 2 * dim), dim)
        )
        starts = range(0, len(latents), MAX_IMAGES)
        images = [self._images(latents[i : i + MAX_IMAGES]) for i in starts]
        pixels = np.concatenate(images).reshape(len(latents), -1).astype(np.float64)
        pixels -= pixels.mean(0)
        coefficients = np.linalg.lstsq(latents, pixels, rcond=None)[0]
        # The Gram matrix (latent_dim, latent_dim) has the same vectors and is small.
        _, vectors = np.linalg.eigh(coefficients @ coefficients.T)
        return vectors.T[::-1][:NUM_DIRECTIONS]

    def _latents(self, seed: int, indices: Sequence[int]) -> np.ndarray:
        return latents(seed, indices, self._latent_dim)

    def _images(self, latents: np.ndarray) -> np.ndarray:
        return self._sampler(latents.astype(np.float32)).images
