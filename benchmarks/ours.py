"""This package as a benchmark's worker.

Settings:
    task: `train` or `sample`.
    preset: name of a preset.
    batch_size: images per training step.
    jit_compile: bool, whether XLA compiles the step or the generator.
    precision: dtype of the networks' arithmetic. Default: float32.
    tensor_float_32: bool, for training on a GPU. Default: True.
    strategy: `none` (the default) or `mirrored`, for training on one device.
    saved_model: bool, whether to sample with a SavedModel.
"""

from lada_tf import app  # noqa: F401  first, as in commands: it imports TensorFlow

# isort: split
import multiprocessing
import tempfile
import time

import tensorflow as tf

from benchmarks.step_flops import count_step_flops
from benchmarks.worker import gpu_peak_mb, serve, timed
from lada_tf.models import get_preset
from lada_tf.models.cost import count_flops
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
    session = {"train": Training, "sample": Sampling}[settings["task"]](settings)
    first = session.first_call()
    report = {"tensorflow": tf.__version__, "peak_mb": first["peak_mb"]}
    return report, session.commands


class Training:
    """Training steps on images in memory."""

    def __init__(self, settings):
        precision = settings.get("precision", "float32")
        tf.config.experimental.enable_tensor_float_32_execution(
            settings.get("tensor_float_32", True)
        )
        options = TrainingOptions(
            jit_compile=settings["jit_compile"], precision=precision
        )
        preset = get_preset(settings["preset"], batch_size=settings["batch_size"])
        self.batch_size = preset.batch_size
        strategy = make_strategy(settings.get("strategy", "none"))
        with strategy.scope():
            self.gan = build(preset, options)
        self.loop = TrainingLoop(self.gan, strategy, options.jit_compile)
        shape = (self.batch_size, self.gan.image_size, self.gan.image_size, 3)
        images = tf.data.Dataset.from_tensors(tf.random.uniform(shape, -1, 1))
        # One iterator for all calls: creating and deleting it is not part of a step.
        self.batches = iter(images.repeat())
        self.commands = {
            "train": self.train,
            "gemm": Matmul(precision),
            "gpu_peak_mb": gpu_peak_mb,
            "flops": self.flops,
            "networks": self.networks,
        }

    def first_call(self):
        return self.train(1)

    def train(self, steps):
        return timed(lambda: self._run(steps))

    def flops(self):
        return count_step_flops(self.gan, self.batch_size)

    def networks(self):
        networks = {
            "generator": self.gan.generator,
            "discriminator": self.gan.discriminator,
        }
        return {
            name: {"parameters": network.count_params(), "flops": count_flops(network)}
            for name, network in networks.items()
        }

    def _run(self, steps):
        self.loop.run(self.batches, steps, max_steps_per_call=lambda: steps)


class Sampling:
    """A generator as `lada_tf.sample` calls it, or a SavedModel as `serve` does."""

    def __init__(self, settings):
        if settings.get("precision") == "bfloat16":
            assume_frozen_weights()
        if settings["saved_model"]:
            with tempfile.TemporaryDirectory() as directory:
                # In another process, so that its memory is not measured.
                spawn = multiprocessing.get_context("spawn")
                writer = spawn.Process(
                    target=_write_saved_model, args=(settings, directory)
                )
                writer.start()
                writer.join()
                self.model = tf.saved_model.load(directory)
            self.forward = self.model.signatures["serving_default"]
            _, inputs = self.forward.structured_input_signature
            self.latent_dim = inputs["latents"].shape[1]
        else:
            generator = _make_generator(settings)
            self.latent_dim = generator.latent_dim
            self.forward = forward_function(generator, settings["jit_compile"])
        self.commands = {"sample": self.sample}

    def first_call(self):
        return self.sample(1, 1)

    def sample(self, batch_size, calls):
        def run():
            for _ in range(calls):
                latents = tf.random.normal((batch_size, self.latent_dim))
                self.forward(latents=latents)["images"].numpy()

        return timed(run)


class Matmul:
    """Speed of square matmuls with all cores."""

    def __init__(self, dtype):
        self.dtype = dtype

    def __call__(self, times, side):
        """Return GFLOP/s."""
        a = tf.cast(tf.random.normal((side, side)), self.dtype)
        multiply = tf.function(tf.matmul)
        multiply(a, a)[0, 0].numpy()
        begin = time.perf_counter()
        for _ in range(times):
            product = multiply(a, a)
        product[0, 0].numpy()
        return 2e-9 * times * side**3 / (time.perf_counter() - begin)


def _make_generator(settings):
    """Like `sample`: in the precision, without a discriminator in memory."""
    generator, _ = make_networks(get_preset(settings["preset"]))
    return copy_without_weights(generator, settings.get("precision", "float32"))


def _write_saved_model(settings, directory):
    write_saved_model(
        _make_generator(settings),
        directory,
        jit_compile=settings["jit_compile"],
        precision=settings.get("precision", "float32"),
    )


if __name__ == "__main__":
    serve(start)
