"""DiffAugment: random augmentations that gradients pass through."""

import keras
from keras import ops, random

OPERATIONS = ("color", "translation", "cutout")


@keras.saving.register_keras_serializable("lada_tf")
class DiffAugment(keras.layers.Layer):
    """Augments what a discriminator sees, real and generated images alike.

    Drawn anew for each image of a batch:

    - `color`: brightness, + U(-½, ½); then saturation, × U(0, 2) about the mean of each
      pixel's channels; then contrast, × U(½, 1½) about the mean of the image.
    - `translation`: by up to ⌊side / 8 + ½⌋ pixels each way; zeros (mid-grey) fill.
    - `cutout`: zeros in a square of half the side, anywhere, also partly outside.

    Args:
        policy: str, comma-separated operations, applied in this order; `""` for none.
        seed: int or `keras.random.SeedGenerator`.

    Call arguments:
        images: float tensor (B, H, W, C) in [-1, 1]. B may be unknown, H and W not.
        part, parts: ints, if the images are number `part` of `parts` equal parts of a
            batch: they are then augmented as they would be within the whole.

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

    def __init__(self, policy="color,translation,cutout", seed=None, **kwargs):
        super().__init__(**kwargs)
        self.policy = policy
        self.operations = [name for name in policy.split(",") if name]
        for name in self.operations:
            if name not in OPERATIONS:
                raise ValueError(
                    f"augmentation {name!r} is not one of {', '.join(OPERATIONS)}"
                )
        self._seed = None if isinstance(seed, random.SeedGenerator) else seed
        self.seed_generator = (
            seed
            if isinstance(seed, random.SeedGenerator)
            else random.SeedGenerator(seed)
        )

    def call(self, images, part=0, parts=1):
        for name in self.operations:
            images = getattr(self, f"_{name}")(images, (part, parts))
        return images

    def _color(self, images, part):
        images = images + self._uniform(images, part, -0.5, 0.5)
        grey = ops.mean(images, axis=3, keepdims=True)
        images = (images - grey) * self._uniform(images, part, 0.0, 2.0) + grey
        mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
        return (images - mean) * self._uniform(images, part, 0.5, 1.5) + mean

    def _translation(self, images, part):
        for axis in (1, 2):
            side = images.shape[axis]
            reach = int(side / 8 + 0.5)
            shift = self._integers(images, part, -reach, reach + 1)
            # One zero on either side, where every index out of the image points.
            source = ops.clip(ops.arange(side) + shift + 1, 0, side + 1)  # (B, side)
            padding = [(0, 0)] * 4
            padding[axis] = (1, 1)
            images = ops.take_along_axis(
                ops.pad(images, padding),
                ops.expand_dims(source, (2, 3) if axis == 1 else (1, 3)),
                axis=axis,
            )
        return images

    def _cutout(self, images, part):
        rows, columns = (
            self._cut(images, part, images.shape[axis]) for axis in (1, 2)
        )  # (B, side): 1 inside the square's span
        square = ops.expand_dims(rows, 2) * ops.expand_dims(columns, 1)
        return images * ops.expand_dims(1 - ops.cast(square, images.dtype), -1)

    def _cut(self, images, part, side):
        size = int(side / 2 + 0.5)
        first = self._integers(images, part, 0, side + 1 - size % 2) - size // 2
        position = ops.arange(side)
        inside = ops.logical_and(position >= first, position < first + size)
        return ops.cast(inside, "int32")

    def _uniform(self, images, part, low, high):
        def draw(n):
            return random.uniform(
                (n, 1, 1, 1), low, high, dtype=images.dtype, seed=self.seed_generator
            )

        return _rows(draw, ops.shape(images)[0], *part)

    def _integers(self, images, part, low, high):
        def draw(n):
            return random.randint((n, 1), low, high, seed=self.seed_generator)

        return _rows(draw, ops.shape(images)[0], *part)

    def compute_output_shape(self, images_shape):
        return images_shape

    def get_config(self):
        return {**super().get_config(), "policy": self.policy, "seed": self._seed}


def _rows(draw, n, index, count):
    """Of `count` times n drawn rows, the n of part `index`."""
    if count == 1:
        return draw(n)
    drawn = draw(n * count)
    return ops.take(ops.reshape(drawn, (count, n, *drawn.shape[1:])), index, axis=0)
