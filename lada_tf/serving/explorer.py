"""What the demo page shows of a generator, computed from numbers alone."""

import functools

import numpy as np

from lada_tf.sampling.generate import interpolate
from lada_tf.sampling.grids import heat_maps, to_uint8
from lada_tf.sampling.latents import latents_of_seed

MAX_IMAGES = 64
NUM_DIRECTIONS = 6
DIRECTION_SAMPLES = 256
OVERLAY = 0.55  # share of the attention map in a picture of it


class Explorer:
    """Pictures of a generator for a visitor, who names latents by seed and number.

    Latent number i of a seed is the one that an exported model's `generate` takes.

    Args:
        generator: callable as `Generator` is, with `latent_dim` and `image_size`: the
            EMA generator of a run, or an `ExportedModel`.
    """

    def __init__(self, generator):
        self._generator = generator

    def latents(self, seed: int, count: int) -> np.ndarray:
        """The first latents of a seed, float32 (count, latent_dim)."""
        return latents_of_seed(seed, count, self._generator.latent_dim).numpy()

    def images(self, latents: np.ndarray) -> np.ndarray:
        """uint8 (N, H, W, 3)."""
        return to_uint8(self._generator(latents.astype(np.float32)))

    def gallery(self, seed: int, count: int) -> np.ndarray:
        """The first images of a seed, uint8 (count, H, W, 3)."""
        return self.images(self.latents(seed, count))

    def between(
        self, seed: int, first: int, second: int, steps: int, spherical: bool
    ) -> np.ndarray:
        """Images from one of a seed to another, both included, uint8 (steps, …)."""
        ends = self._numbers(seed, [first, second])
        # The way goes there and back, each time without its end: one step less.
        path = interpolate(ends, steps - 1, spherical)[:steps]
        return self.images(path)

    def moved(self, seed: int, number: int, amounts: list[float]) -> np.ndarray:
        """An image of a seed, moved along the principal directions, uint8 (H, W, 3).

        Args:
            seed: of the latents.
            number: which one.
            amounts: how far, in standard deviations of a latent; one a direction.
        """
        latent = self._numbers(seed, [number])
        if any(amounts):  # the directions take a while when first asked for
            latent = latent + np.asarray(amounts) @ self.directions[: len(amounts)]
        return self.images(latent)[0]

    def attention(self, seed: int, number: int) -> list[tuple[np.ndarray, str]]:
        """A row for each stage: the image, then each head's map laid over it.

        uint8 (H, W, 3) each, with what is to be seen there.
        """
        images, maps = self._generator(
            self._numbers(seed, [number]), return_attention_maps=True
        )
        image = to_uint8(images)[0]
        shown = []
        for stage in maps:
            stage = np.asarray(stage)
            grid = round(stage.shape[-1] ** 0.5)
            shown.append((image, "the image"))
            for head in range(stage.shape[1]):
                heat = heat_maps(stage[:, head], image.shape[0])[0]
                mixed = (1 - OVERLAY) * image + OVERLAY * heat
                caption = f"{grid}×{grid}, head {head + 1}"
                shown.append((mixed.astype(np.uint8), caption))
        return shown

    @functools.cached_property
    def directions(self) -> np.ndarray:
        """Orthonormal latent directions, by how much the images change along them.

        The images of random latents are regressed linearly on the latents; the
        directions are the right singular vectors of the coefficients. It needs nothing
        of the generator but its images. Float64 (NUM_DIRECTIONS, latent_dim).
        """
        latents = np.random.default_rng(0).standard_normal(
            (max(DIRECTION_SAMPLES, 2 * self.latent_dim), self.latent_dim)
        )
        images = np.concatenate(
            [
                self.images(latents[i : i + MAX_IMAGES])
                for i in range(0, len(latents), MAX_IMAGES)
            ]
        )
        values = images.reshape(len(images), -1).astype(np.float64)
        values -= values.mean(0)
        coefficients = np.linalg.lstsq(latents, values, rcond=None)[0]  # (L, pixels)
        # Pixels are many and latents few: the small Gram matrix has the same vectors.
        _, vectors = np.linalg.eigh(coefficients @ coefficients.T)
        return vectors.T[::-1][:NUM_DIRECTIONS]

    @property
    def latent_dim(self) -> int:
        return self._generator.latent_dim

    def _numbers(self, seed: int, numbers: list[int]) -> np.ndarray:
        return self.latents(seed, max(numbers) + 1)[numbers]
