"""This package as a benchmark's worker.

Settings:
    task: `train` or `sample`.
    preset: name of a preset.
    batch_size: images per training step.
    jit_compile: whether XLA compiles the step or the generator. Default: False.
    precision: arithmetic of the networks. Default: float32.
    strategy: `none` (the default) or `mirrored`, for training on one device.
    saved_model: whether to sample with a SavedModel. Default: False.
"""

from lada_tf import app  # noqa: F401  first: commands import TensorFlow this way

# isort: split
import tempfile

import tensorflow as tf

from benchmarks.worker import gpu_peak_mb, in_new_process, serve, timed
from lada_tf.models import get_preset
from lada_tf.models.networks import copy_without_weights, make_networks
from lada_tf.runtime import assume_frozen_weights
from lada_tf.sampling.generate import forward_function
from lada_tf.serving.saved_model import write_saved_model
from lada_tf.training.configuration import TrainingOptions
from lada_tf.training.distribution import make_strategy
from lada_tf.training.loop import TrainingLoop
from lada_tf.training.trainer import build


def start(settings):
    """Return the report of the start and the commands of the task."""
    settings = {
        "jit_compile": False,
        "precision": "float32",
        "strategy": "none",
        "saved_model": False,
        **settings,
    }
    start_task = {"train": start_training, "sample": start_sampling}[settings["task"]]
    return {"tensorflow": tf.__version__}, start_task(settings)


def start_training(settings):
    """Make the first training step on images in memory. Return the commands."""
    options = TrainingOptions(
        jit_compile=settings["jit_compile"], precision=settings["precision"]
    )
    preset = get_preset(settings["preset"], batch_size=settings["batch_size"])
    strategy = make_strategy(settings["strategy"])
    with strategy.scope():
        gan = build(preset, options)
    loop = TrainingLoop(gan, strategy, options.jit_compile)
    shape = (preset.batch_size, gan.image_size, gan.image_size, 3)
    images = tf.data.Dataset.from_tensors(tf.random.uniform(shape, -1, 1))
    # One iterator for all calls: creating and deleting it is not part of a step.
    batches = iter(images.repeat())

    def train(steps):
        return timed(lambda: loop.run(batches, steps, max_steps_per_call=lambda: steps))

    train(1)
    return {"train": train, "gpu_peak_mb": gpu_peak_mb}


def start_sampling(settings):
    """Generate the first image, as `sample` or `serve` do. Return the commands."""
    if settings["precision"] == "bfloat16":
        assume_frozen_weights()
    if settings["saved_model"]:
        model = _load_saved_model(settings)
        _, inputs = model.signatures["serving_default"].structured_input_signature
        latent_dim = inputs["latents"].shape[1]

        def forward(latents):  # keeps the model, and so its weights, alive
            return model.signatures["serving_default"](latents=latents)

    else:
        generator = _make_generator(settings)
        latent_dim = generator.latent_dim
        forward = forward_function(generator, settings["jit_compile"])

    def sample(batch_size, calls):
        def run():
            for _ in range(calls):
                latents = tf.random.normal((batch_size, latent_dim))
                forward(latents=latents)["images"].numpy()

        return timed(run)

    sample(1, 1)
    return {"sample": sample}


def _make_generator(settings):
    """Return the generator as `sample` loads it: without a discriminator in memory."""
    generator, _ = make_networks(get_preset(settings["preset"]))
    return copy_without_weights(generator, settings["precision"])


def _load_saved_model(settings):
    """Write a SavedModel in another process, to keep its memory apart, and load it."""
    with tempfile.TemporaryDirectory() as directory:
        in_new_process(_write_saved_model, settings, directory)
        return tf.saved_model.load(directory)


def _write_saved_model(settings, directory):
    write_saved_model(
        _make_generator(settings),
        directory,
        jit_compile=settings["jit_compile"],
        precision=settings["precision"],
    )


if __name__ == "__main__":
    serve(start)
