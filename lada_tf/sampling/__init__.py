"""Sampling: latents, generated images, and pictures of them."""

from lada_tf.models.latents import latents
from lada_tf.models.networks import to_uint8
from lada_tf.sampling.generate import (
    Sampler,
    Samples,
    forward_function,
    generate_images,
    interpolate,
)
from lada_tf.sampling.outputs import write_samples

__all__ = [
    "Sampler",
    "Samples",
    "forward_function",
    "generate_images",
    "interpolate",
    "latents",
    "to_uint8",
    "write_samples",
]
