"""Generate images of seeds, in batches and in constant memory."""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from lada_tf.errors import UserError
from lada_tf.models import Generator
from lada_tf.models.latents import MAX_SEED, latents
from lada_tf.models.networks import to_uint8


@dataclasses.dataclass(frozen=True)
class Samples:
    """Which images to generate: latents by seed and index, and paths between them.

    Attributes:
        seeds: int array (n,).
        indices: int array (n,): latent i has the index `indices[i]` of `seeds[i]`.
        truncation: factor of all latents, in (0, 1].
        steps: if above 0, each latent becomes this many images on the path from it to
            the next latent. The path of the last latent leads to the first.
        spherical: whether that path is an arc instead of a straight line.

    Raises:
        UserError: if there are no seeds, or `truncation` is out of range.
    """

    seeds: np.ndarray
    indices: np.ndarray
    truncation: float = 1.0
    steps: int = 0
    spherical: bool = False

    def __post_init__(self) -> None:
        if not len(self.seeds):
            raise UserError("num_images=0: must be at least 1")
        if not 0 < self.truncation <= 1:
            raise UserError(
                f"truncation={self.truncation}: must be above 0 and at most 1"
            )

    @classmethod
    def of_seed(cls, seed: int, num_images: int, **options: Any) -> "Samples":
        """Return the first images of a seed."""
        num_images = max(0, num_images)
        return cls(np.full(num_images, seed), np.arange(num_images), **options)

    def __len__(self) -> int:
        return len(self.seeds) * max(1, self.steps)

    def origin(self, i: int) -> dict[str, Any]:
        """Return the seed and index of image i, and where on the path it lies."""
        number, step = divmod(i, max(1, self.steps))
        origin = {"seed": int(self.seeds[number]), "index": int(self.indices[number])}
        return origin | ({"step": step, "steps": self.steps} if self.steps else {})

    def latents(self, start: int, stop: int, latent_dim: int) -> np.ndarray:
        """Return the latents of the images [start, stop), float32 (n, latent_dim)."""

        def ends(numbers):
            numbers = numbers % len(self.seeds)
            return latents(self.seeds[numbers], self.indices[numbers], latent_dim)

        numbers = np.arange(start, min(stop, len(self)))
        if not self.steps:
            path = ends(numbers)
        else:
            first, step = np.divmod(numbers, self.steps)
            path = interpolate(
                ends(first), ends(first + 1), step / self.steps, self.spherical
            )
        return path * np.float32(self.truncation)


class Batch(NamedTuple):
    """Consecutive images.

    Attributes:
        images: uint8 array (n, H, W, 3).
        attention_maps: one float32 array (n, heads, tokens) per stage; empty unless
            requested.
    """

    images: np.ndarray
    attention_maps: list[np.ndarray]


class Sampler:
    """Run a generator, and round its images to uint8.

    Args:
        generator: a `Generator`, or an `ExportedModel` of `lada_tf.serving`.
        attention_maps: whether to return attention maps.
    """

    def __init__(self, generator: Any, attention_maps: bool = False):
        self.generator = generator
        self.attention_maps = attention_maps
        self._run = self._forward
        if isinstance(generator, keras.Model):
            spec = tf.TensorSpec((None, generator.latent_dim), tf.float32)
            self._run = tf.function(self._forward, input_signature=[spec])

    def __call__(self, latents: np.ndarray) -> Batch:
        """Return the images of latents, float32 (n, latent_dim).

        Raises:
            UserError: if a pixel is NaN or infinite.
        """
        images, maps, finite = self._run(latents)
        if not finite:
            raise UserError(
                "the generator returns NaN or infinite pixels: its training diverged"
            )
        return Batch(np.asarray(images), [np.asarray(stage) for stage in maps])

    def batches(self, samples: Samples, batch_size: int = 64) -> Iterator[Batch]:
        """Yield the images of samples. `batch_size` affects only their rounding."""
        for start in range(0, len(samples), batch_size):
            stop = start + batch_size
            yield self(samples.latents(start, stop, self.generator.latent_dim))

    def _forward(self, latents):
        if self.attention_maps:
            images, maps = self.generator(latents, return_attention_maps=True)
        else:
            images, maps = self.generator(latents), []
        return to_uint8(images), maps, tf.reduce_all(tf.math.is_finite(images))


def generate_images(
    generator: Any,
    num_images: int = 16,
    *,
    seed: int = 0,
    truncation: float = 1.0,
    batch_size: int = 64,
) -> np.ndarray:
    """Return the first images of a seed.

    Args:
        generator: see `Sampler`.
        num_images: number of images.
        seed: int in [0, 2^63). Image i of a seed is the same in all programs and for
            every `num_images`, see `lada_tf.sampling.latents`.
        truncation: factor of the latents, in (0, 1]. Lower values give more typical and
            less diverse images.
        batch_size: images per batch.

    Returns:
        A uint8 array (num_images, H, W, 3).
    """
    samples = Samples.of_seed(seed, num_images, truncation=truncation)
    batches = Sampler(generator).batches(samples, batch_size)
    return np.concatenate([batch.images for batch in batches])


def forward_function(
    generator: Generator, jit_compile: bool = False
) -> tf.types.experimental.PolymorphicFunction:
    """Return a generator's inference as a `tf.function`, for speed and for export.

    Args:
        generator: a `Generator`.
        jit_compile: whether XLA compiles the graph, once per batch size.

    Returns:
        A `tf.function` that maps latents, float32 (B, latent_dim), to a dictionary:
        `images`, float32 (B, H, W, 3) in about [-1, 1], and `attention_0`,
        `attention_1`, … for the stages, float32 (B, heads, tokens).
    """
    spec = tf.TensorSpec((None, generator.latent_dim), tf.float32, name="latents")
    grids = zip(generator.num_heads, generator.resolutions, strict=True)
    shapes = [(None, heads, side**2) for heads, side in grids]

    @tf.function(input_signature=[spec], jit_compile=jit_compile or None)
    def forward(latents):
        images, maps = generator(latents, training=False, return_attention_maps=True)
        images.set_shape((None, generator.image_size, generator.image_size, 3))
        for stage, shape in zip(maps, shapes, strict=True):
            stage.set_shape(shape)
        return {"images": images} | {f"attention_{i}": m for i, m in enumerate(maps)}

    return forward


def interpolate(
    start: np.ndarray, end: np.ndarray, weight: np.ndarray, spherical: bool = False
) -> np.ndarray:
    """Interpolate between two sets of latents, row by row.

    Args:
        start: float array (N, L).
        end: float array (N, L).
        weight: float array (N,). 0 returns the start and 1 the end.
        spherical: whether to follow the arc between two latents (slerp) instead of the
            straight line. The arc keeps the length of normal latents; the middle of the
            line is shorter.

    Returns:
        A float32 array (N, L).
    """
    weight = np.asarray(weight)[:, None]
    if not spherical:
        return (start * (1 - weight) + end * weight).astype(np.float32)
    norms = np.linalg.norm(start, axis=-1) * np.linalg.norm(end, axis=-1)
    cosine = np.sum(start * end, axis=-1) / norms
    angle = np.arccos(np.clip(cosine, -1, 1))[:, None]
    angle = np.maximum(angle, 1e-6)  # its sine is a divisor
    path = start * np.sin((1 - weight) * angle) + end * np.sin(weight * angle)
    return (path / np.sin(angle)).astype(np.float32)


def parse_seeds(text: str) -> np.ndarray:
    """Return the seeds that a text such as "0-99,205" lists.

    Raises:
        UserError: if the text has another form, or lists a seed twice.
    """
    ranges = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last <= MAX_SEED:
            raise UserError(
                f"seeds={text}: expected numbers and ranges, such as 0-99,205"
            )
        if last - first >= 10**8:
            raise UserError(f"seeds={text}: {part} has more than 100 million seeds")
        ranges.append(first + np.arange(last - first + 1))
    seeds = np.concatenate(ranges)
    if len(np.unique(seeds)) < len(seeds):
        raise UserError(f"seeds={text}: lists a seed twice. List each seed once")
    return seeds
