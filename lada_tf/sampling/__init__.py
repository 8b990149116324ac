"""Sampling: latents, generated images, and pictures of them."""

from lada_tf.sampling.generate import (
    forward_function,
    generate_images,
    interpolate_latents,
    write_samples,
)
from lada_tf.sampling.grids import to_uint8
from lada_tf.sampling.latents import latents_of_seed

__all__ = [
    "forward_function",
    "generate_images",
    "interpolate_latents",
    "latents_of_seed",
    "to_uint8",
    "write_samples",
]
