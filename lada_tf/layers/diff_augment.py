"""DiffAugment: random, differentiable augmentations of images."""

from typing import Any

import keras
from keras import ops, random

from lada_tf.kernels import Tensor

OPERATIONS = ("color", "translation", "cutout")


@keras.saving.register_keras_serializable("lada_tf")
class DiffAugment(keras.layers.Layer):
    """Augment the real and generated images that a discriminator sees.

    Each image of a batch gets its own random numbers:

    - `color`: add U(-½, ½) to the brightness. Then multiply the saturation, the
      deviation from the mean of each pixel's channels, by U(0, 2). Then multiply the
      contrast, the deviation from the mean of the image, by U(½, 1½).
    - `translation`: shift by up to ⌊side / 8 + ½⌋ pixels per axis, and fill with zeros.
    - `cutout`: fill a square of half the side with zeros. It may extend past the border
      of the image.

    Args:
        policy: str, comma-separated operations, applied in this order; `""` for none.
        seed: int or `keras.random.SeedGenerator`.

    Call arguments:
        images: float tensor (B, H, W, C) in [-1, 1]. H and W must be known.
        shard: object that describes the position of these images in a larger batch, or
            None. Its method `rows(draw, n)` draws random numbers for the larger batch
            and returns the n rows of these images.

    Returns:
        A tensor of the same shape and dtype. Values may leave [-1, 1].

    Raises:
        ValueError: if the policy names an unknown operation.

    Example:

    >>> augment = DiffAugment("color,translation,cutout", seed=0)
    >>> augment(keras.random.uniform((4, 32, 32, 3), -1, 1)).shape
    (4, 32, 32, 3)

    Reference:
        Zhao et al., "Differentiable augmentation for data-efficient GAN training",
        arXiv:2006.10738.
    """

    def __init__(
        self,
        policy: str = "color,translation,cutout",
        seed: int | random.SeedGenerator | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.input_spec = keras.InputSpec(ndim=4)
        self.policy = policy
        self.operations = [name for name in policy.split(",") if name]
        for name in self.operations:
            if name not in OPERATIONS:
                raise ValueError(
                    f"policy={policy!r}: {name!r} is not one of {', '.join(OPERATIONS)}"
                )
        is_generator = isinstance(seed, random.SeedGenerator)
        self._seed = None if is_generator else seed
        self.seed_generator = seed if is_generator else random.SeedGenerator(seed)

    def call(self, images: Tensor, shard: Any = None) -> Tensor:
        draws = _Draws(images, self.seed_generator, shard)
        for name in self.operations:
            images = getattr(self, f"_{name}")(images, draws)
        return images

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def _color(self, images, draws):
        images = images + draws.uniform(-0.5, 0.5)
        gray = ops.mean(images, axis=3, keepdims=True)  # (B, H, W, 1)
        images = (images - gray) * draws.uniform(0.0, 2.0) + gray
        mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)  # (B, 1, 1, 1)
        return (images - mean) * draws.uniform(0.5, 1.5) + mean

    def _translation(self, images, draws):
        for axis in (1, 2):
            side = images.shape[axis]
            reach = int(side / 8 + 0.5)
            shift = draws.integers(-reach, reach + 1)
            # Pad a zero on each side. Every index outside the image points to it.
            source = ops.clip(ops.arange(side) + shift + 1, 0, side + 1)  # (B, side)
            padding = [(0, 0)] * 4
            padding[axis] = (1, 1)
            images = ops.take_along_axis(
                ops.pad(images, padding),
                ops.expand_dims(source, (2, 3) if axis == 1 else (1, 3)),
                axis=axis,
            )
        return images

    def _cutout(self, images, draws):
        rows, columns = (self._cut(images.shape[axis], draws) for axis in (1, 2))
        square = ops.expand_dims(rows, 2) * ops.expand_dims(columns, 1)  # (B, H, W)
        return images * ops.expand_dims(1 - ops.cast(square, images.dtype), -1)

    def _cut(self, side, draws):
        """Return int32 (B, side), 1 along the side of a random square, 0 elsewhere."""
        size = int(side / 2 + 0.5)
        first = draws.integers(0, side + 1 - size % 2) - size // 2
        position = ops.arange(side)
        inside = ops.logical_and(position >= first, position < first + size)
        return ops.cast(inside, "int32")

    def get_config(self) -> dict:
        return {**super().get_config(), "policy": self.policy, "seed": self._seed}


class _Draws:
    """Random numbers for a batch of images, one row per image."""

    def __init__(self, images, seed_generator, shard):
        self.count = ops.shape(images)[0]
        self.dtype = images.dtype
        self.seed_generator = seed_generator
        self.shard = shard

    def uniform(self, low, high):
        """Draw a float tensor (B, 1, 1, 1)."""
        return self._rows(
            lambda n: random.uniform(
                (n, 1, 1, 1), low, high, dtype=self.dtype, seed=self.seed_generator
            )
        )

    def integers(self, low, high):
        """Draw an int32 tensor (B, 1) in [low, high)."""
        return self._rows(
            lambda n: random.randint((n, 1), low, high, seed=self.seed_generator)
        )

    def _rows(self, draw):
        return self.shard.rows(draw, self.count) if self.shard else draw(self.count)
