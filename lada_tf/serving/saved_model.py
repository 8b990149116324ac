"""A SavedModel with all that one asks of a generator, for TensorFlow Serving.

It needs neither Keras nor this package to load. Whatever a request gets wrong is found
inside the graph, so that any server answers it with a message (`InvalidArgument`; 400
over REST).
"""

import tensorflow as tf

from lada_tf.models.networks import in_precision
from lada_tf.sampling.latents import latents_of_seed
from lada_tf.sampling.uint8 import to_uint8
from lada_tf.serving.graph import as_module, forward_function

MAX_BATCH = 256


def write_saved_model(
    generator,
    folder,
    max_batch: int = MAX_BATCH,
    jit_compile: bool = False,
    precision: str = "float32",
) -> None:
    """Writes a generator as a SavedModel.

    Signatures, all for any batch up to `max_batch`; images are uint8 (n, H, W, 3):

    - `serving_default`: `latents` (n, latent_dim) → `images`.
    - `generate`: `seed`, `num_images`, `truncation` → `images`. Image i depends on the
      seed and i alone. The latents are multiplied by the truncation, in (0, 1]; 1 is
      none.
    - `interpolate`: `first_seed`, `second_seed`, `steps` → `images` on the straight
      line between the first latents of two seeds, both ends included.
    - `attention`: `latents` → `images`, and `attention_0`, …, float32
      (n, heads, tokens), one a stage.
    - `forward`: `latents` → as `attention`, with `images` as the generator makes them,
      float32, meant for [-1, 1].

    Args:
        generator: a built `Generator`; batch normalization is frozen as it is.
        folder: path of the SavedModel's folder.
        max_batch: int, images that one request may ask for.
        jit_compile: bool, whether XLA compiles the generator where the SavedModel is
            run, at the first request of each number of images.
        precision: of weights and products, see `in_precision`.
    """
    generator = in_precision(generator, precision)
    functions = _signatures(generator, max_batch, jit_compile)
    module = as_module(generator, **functions)
    tf.saved_model.save(module, str(folder), signatures=functions)


def _signatures(generator, max_batch, jit_compile):
    dim = generator.latent_dim
    forward = forward_function(generator, jit_compile)
    latents_spec = tf.TensorSpec((None, dim), tf.float32, name="latents")

    def images_of(latents):
        return {"images": to_uint8(forward(latents)["images"])}

    @tf.function(input_signature=[latents_spec])
    def serving_default(latents):
        with tf.control_dependencies(_latents_checks(latents, max_batch)):
            return images_of(tf.identity(latents))

    @tf.function(input_signature=[latents_spec])
    def attention(latents):
        with tf.control_dependencies(_latents_checks(latents, max_batch)):
            outputs = forward(tf.identity(latents))
            return outputs | {"images": to_uint8(outputs["images"])}

    @tf.function(input_signature=[latents_spec])
    def checked_forward(latents):
        with tf.control_dependencies(_latents_checks(latents, max_batch)):
            return forward(tf.identity(latents))

    @tf.function(
        input_signature=[
            _scalar(tf.int64, "seed"),
            _scalar(tf.int32, "num_images"),
            _scalar(tf.float32, "truncation"),
        ]
    )
    def generate(seed, num_images, truncation):
        checks = [
            _check_seed(seed, "seed"),
            *_check_count(num_images, "num_images", 1, max_batch),
            tf.debugging.Assert(
                (truncation > 0) & (truncation <= 1),  # NaN is not, either
                ["truncation has to be above 0 and at most 1, not", truncation],
            ),
        ]
        with tf.control_dependencies(checks):
            latents = latents_of_seed(seed, num_images, dim)
            return images_of(latents * truncation)

    @tf.function(
        input_signature=[
            _scalar(tf.int64, "first_seed"),
            _scalar(tf.int64, "second_seed"),
            _scalar(tf.int32, "steps"),
        ]
    )
    def interpolate(first_seed, second_seed, steps):
        checks = [
            _check_seed(first_seed, "first_seed"),
            _check_seed(second_seed, "second_seed"),
            *_check_count(steps, "steps", 2, max_batch),
        ]
        with tf.control_dependencies(checks):
            first = latents_of_seed(first_seed, 1, dim)
            second = latents_of_seed(second_seed, 1, dim)
            weight = tf.linspace(0.0, 1.0, steps)[:, None]
            return images_of(first * (1 - weight) + second * weight)

    return {
        "serving_default": serving_default,
        "generate": generate,
        "interpolate": interpolate,
        "attention": attention,
        "forward": checked_forward,
    }


def _scalar(dtype, name):
    return tf.TensorSpec((), dtype, name=name)


def _latents_checks(latents, max_batch):
    return [
        *_check_count(tf.shape(latents)[0], "the batch of latents", 1, max_batch),
        tf.debugging.Assert(
            tf.reduce_all(tf.math.is_finite(latents)),
            ["latents have to be finite: there is a NaN or an infinity"],
        ),
    ]


def _check_seed(seed, name):
    return tf.debugging.Assert(seed >= 0, [f"{name} has to be at least 0, not", seed])


def _check_count(count, name, least, most):
    message = f"{name} has to be from {least} to {most}, not"
    return [tf.debugging.Assert((count >= least) & (count <= most), [message, count])]
