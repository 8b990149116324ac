"""Write a generator as a SavedModel, for TensorFlow Serving and other servers.

Loading it needs neither Keras nor this package. The graph checks its inputs, so every
server answers an invalid request with a message (`InvalidArgument`, or 400 over REST).
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

from lada_tf.models import Generator
from lada_tf.models.networks import copy_generator
from lada_tf.sampling import forward_function, to_uint8

MAX_BATCH = 256


def write_saved_model(
    generator: Generator,
    directory: str | Path,
    max_batch: int = MAX_BATCH,
    jit_compile: bool = False,
    precision: str = "float32",
) -> None:
    """Write a generator as a SavedModel.

    Signatures, for batches n of up to `max_batch`; `images` are uint8 (n, H, W, 3):

    - `serving_default`: `latents` (n, latent_dim) → `images`.
    - `generate`: `seed`, `num_images`, `truncation` → `images`. Image i depends only on
      the seed and on i. `truncation`, in (0, 1], multiplies the latents.
    - `interpolate`: `first_seed`, `second_seed`, `steps` → `images` on the straight
      line between the first latents of two seeds, including both ends.
    - `attention`: `latents` → `images`, and one `attention_0`, `attention_1`, … per
      stage, float32 (n, heads, tokens).
    - `forward`: like `attention`, with `images` in float32, in about [-1, 1].

    Args:
        generator: a built `Generator`.
        directory: path of the SavedModel's directory.
        max_batch: maximum number of images per request.
        jit_compile: whether XLA compiles the generator on the server, at the first
            request for each number of images.
        precision: precision of weights and matmuls, see `copy_generator`.
    """
    generator = copy_generator(generator, precision)
    functions = _signatures(generator, max_batch, jit_compile)
    module = as_module(generator, **functions)
    tf.saved_model.save(module, str(directory), signatures=functions)


def as_module(generator: Generator, **functions) -> tf.Module:
    """Return a `tf.Module` with a generator's weights and functions that use them.

    A Keras model would add its classes and configuration to the SavedModel.
    """
    module = tf.Module()
    module.weights = [weight.value for weight in generator.weights]
    for name, function in functions.items():
        setattr(module, name, function)
    return module


def _signatures(generator, max_batch, jit_compile):
    dim = generator.latent_dim
    forward = forward_function(generator, jit_compile)

    def images(latents):
        return {"images": to_uint8(forward(latents)["images"])}

    def images_and_attention(latents):
        outputs = forward(latents)
        return outputs | {"images": to_uint8(outputs["images"])}

    def checked(outputs):
        @tf.function(input_signature=[tf.TensorSpec((None, dim), name="latents")])
        def signature(latents):
            # TensorFlow would drop the check of the width, since the signature states
            # it, but not every server checks requests. The shape of a copy is unknown.
            copy = tf.raw_ops.PlaceholderWithDefault(input=latents, shape=(None, None))
            batch, width = tf.unstack(tf.shape(copy))
            checks = [
                tf.debugging.Assert(
                    width == dim, [f"a latent must have {dim} numbers, not", width]
                ),
                _check_count(batch, "the batch of latents", 1, max_batch),
                tf.debugging.Assert(
                    tf.reduce_all(tf.math.is_finite(latents)),
                    ["latents must be finite, without NaN or infinity"],
                ),
            ]
            with tf.control_dependencies(checks):
                return outputs(tf.identity(latents))

        return signature

    @_function_of_scalars(seed=tf.int64, num_images=tf.int32, truncation=tf.float32)
    def generate(seed, num_images, truncation):
        checks = [
            _check_seed(seed, "seed"),
            _check_count(num_images, "num_images", 1, max_batch),
            tf.debugging.Assert(
                (truncation > 0) & (truncation <= 1),  # False for NaN
                ["truncation must be above 0 and at most 1, not", truncation],
            ),
        ]
        with tf.control_dependencies(checks):
            return images(graph_latents(seed, num_images, dim) * truncation)

    @_function_of_scalars(first_seed=tf.int64, second_seed=tf.int64, steps=tf.int32)
    def interpolate(first_seed, second_seed, steps):
        checks = [
            _check_seed(first_seed, "first_seed"),
            _check_seed(second_seed, "second_seed"),
            _check_count(steps, "steps", 2, max_batch),
        ]
        with tf.control_dependencies(checks):
            first = graph_latents(first_seed, 1, dim)
            second = graph_latents(second_seed, 1, dim)
            weight = tf.linspace(0.0, 1.0, steps)[:, None]
            return images(first * (1 - weight) + second * weight)

    return {
        "serving_default": checked(images),
        "generate": generate,
        "interpolate": interpolate,
        "attention": checked(images_and_attention),
        "forward": checked(forward),
    }


def graph_latents(seed: tf.Tensor, count: tf.Tensor, latent_dim: int) -> tf.Tensor:
    """Return the same latents as `lada_tf.sampling.latents`, in a graph.

    Args:
        seed: int64 scalar.
        count: int scalar, number of latents. Their indices start at 0.
        latent_dim: length of a latent.
    """
    blocks = -(-latent_dim // 4)
    key = tf.cast(seed, tf.uint64)[None]

    def words_of(index):
        return tf.raw_ops.StatelessRandomUniformFullIntV2(
            shape=(4 * blocks,),
            key=key,
            counter=tf.stack([tf.zeros((), tf.uint64), tf.cast(index, tf.uint64)]),
            alg=1,  # Philox
            dtype=tf.uint32,
        )

    indices = tf.range(tf.cast(count, tf.int64))
    words = tf.map_fn(words_of, indices, fn_output_signature=tf.uint32)
    first, second = tf.unstack(tf.reshape(tf.cast(words, tf.float64), (-1, 2)), axis=1)
    radius = tf.sqrt(-2 * tf.math.log((first + 0.5) / 2**32))
    angle = 2 * np.pi * (second / 2**32)
    pairs = tf.stack([radius * tf.cos(angle), radius * tf.sin(angle)], axis=1)
    return tf.cast(tf.reshape(pairs, (-1, 4 * blocks))[:, :latent_dim], tf.float32)


def _function_of_scalars(**dtypes):
    specs = [tf.TensorSpec((), dtype, name=name) for name, dtype in dtypes.items()]
    return tf.function(input_signature=specs)


def _check_seed(seed, name):
    return tf.debugging.Assert(seed >= 0, [f"{name} must be at least 0, not", seed])


def _check_count(count, name, minimum, maximum):
    message = f"{name} must be from {minimum} to {maximum}, not"
    return tf.debugging.Assert(
        (count >= minimum) & (count <= maximum), [message, count]
    )
