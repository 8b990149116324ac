"""DiffAugment: random, differentiable augmentations."""

from typing import Any

import keras
from keras import ops, random

from lada_tf.kernels import Tensor

OPERATIONS = ("color", "translation", "cutout")


@keras.saving.register_keras_serializable("lada_tf")
class DiffAugment(keras.layers.Layer):
    """Augment the images that a discriminator sees, real and generated ones alike.

    Each image of a batch gets its own random numbers:

    - `color`: brightness, + U(-½, ½); then saturation, × U(0, 2) about the mean of each
      pixel's channels; then contrast, × U(½, 1½) about the mean of the image.
    - `translation`: shift by up to ⌊side / 8 + ½⌋ pixels per axis, filled with zeros.
    - `cutout`: a square of zeros with half the side, which may extend past the border.

    Args:
        policy: str, comma-separated operations, applied in this order; `""` for none.
        seed: int or `keras.random.SeedGenerator`.

    Call arguments:
        images: float tensor (B, H, W, C) in [-1, 1]. B may be unknown; H and W must
            be known.
        shard: optional object with a method `rows(draw, n)`, which returns the n rows
            of these images out of those that `draw` returns for a larger batch. Images
            are then augmented as they would be within that batch.

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
            # Pad one zero on either side, where every index outside the image points.
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
        rows, columns = (
            self._cut(images.shape[axis], draws) for axis in (1, 2)
        )  # (B, side): 1 inside the square's span
        square = ops.expand_dims(rows, 2) * ops.expand_dims(columns, 1)  # (B, H, W)
        return images * ops.expand_dims(1 - ops.cast(square, images.dtype), -1)

    def _cut(self, side, draws):
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
        """Float tensor (B, 1, 1, 1)."""
        return self._rows(
            lambda n: random.uniform(
                (n, 1, 1, 1), low, high, dtype=self.dtype, seed=self.seed_generator
            )
        )

    def integers(self, low, high):
        """Int32 tensor (B, 1), `high` excluded."""
        return self._rows(
            lambda n: random.randint((n, 1), low, high, seed=self.seed_generator)
        )

    def _rows(self, draw):
        return self.shard.rows(draw, self.count) if self.shard else draw(self.count)
