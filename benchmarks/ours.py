"""This package as a benchmark's worker.

Settings: `task`, `train`, `sample` or, for what the machine can do, `multiply`, which
needs `precision` alone; `preset`, its name; `batch_size` and `jit_compile`, as of
`lada_tf.train` or of what samples; `saved_model`, whether to sample with one; if not
the defaults, `precision`, and of training `overlap` and `tensor_float_32`, whether a
GPU may round the factors of float32 products to that.
"""

from lada_tf import app  # first, as in commands: it imports TensorFlow

# isort: split
import functools
import multiprocessing
import tempfile
import time

import tensorflow as tf

from benchmarks.device import device_peak_mb
from benchmarks.worker import serve, timed
from lada_tf.models import get_preset
from lada_tf.models.cost import count_flops, count_step_flops
from lada_tf.models.networks import copy_without_weights, networks
from lada_tf.sampling.generate import compiled
from lada_tf.serving.saved_model import write_saved_model
from lada_tf.training.callbacks import ProgressBar
from lada_tf.training.execution import compiles, share_cores
from lada_tf.training.loop import Loop
from lada_tf.training.options import TrainingOptions
from lada_tf.training.trainer import build

GEMM = 2048


def start(settings):
    tasks = {
        "train": start_training,
        "sample": start_sampling,
        "multiply": start_multiplying,
    }
    return tasks[settings["task"]](settings)


def start_multiplying(settings):
    """Matrix products by all of the processor, whatever a step's operations have."""
    return {}, {"gemm": functools.partial(gemm, dtype=settings["precision"])}


def start_training(settings):
    precision = settings.get("precision", "float32")
    options = TrainingOptions(
        jit_compile=settings["jit_compile"],
        precision=precision,
        overlap=settings.get("overlap", "auto"),
    )
    preset = get_preset(settings["preset"], batch_size=settings["batch_size"])
    strategy = tf.distribute.get_strategy()
    share_cores(preset, options, strategy)
    tf.config.experimental.enable_tensor_float_32_execution(
        settings.get("tensor_float_32", True)
    )
    gan = build(preset, options)
    loop = Loop(gan, strategy, compiles(options, strategy))
    shape = (preset.batch_size, preset.image_size, preset.image_size, 3)
    real = tf.data.Dataset.from_tensors(tf.random.uniform(shape, -1, 1))
    batches = iter(real.repeat())  # to make one anew and delete it is no step's time

    def train(steps):
        return timed(lambda: loop.run(batches, steps, steps_to_act=lambda: steps))

    def host_share(steps):
        """Of the time of some steps, how much passed outside the graph's calls."""
        inside = []

        def timed_call(*arguments):
            begin = time.perf_counter()
            values, finite = Loop._call(loop, *arguments)
            values.numpy()  # waits
            inside.append(time.perf_counter() - begin)
            return values, finite

        loop._call = timed_call
        bar = ProgressBar(gan.images_seen + steps * preset.batch_size)
        whole = timed(lambda: loop.run(batches, steps, [bar], lambda: steps))
        del loop._call
        return 1 - sum(inside) / whole["seconds"]

    def flops(as_defined=True):
        return count_step_flops(gan, preset.batch_size, as_defined)

    def networks():
        return {
            name: {"parameters": network.count_params(), "flops": count_flops(network)}
            for name, network in (
                ("generator", gan.generator),
                ("discriminator", gan.discriminator),
            )
        }

    first = train(1)
    report = {"tensorflow": tf.__version__, "peak_mb": first["peak_mb"]}
    commands = {
        "train": train,
        "host_share": host_share,
        "gemm": functools.partial(gemm, dtype=precision),
        "device_peak_mb": device_peak_mb,
        "flops": flops,
        "networks": networks,
    }
    return report, commands


def start_sampling(settings):
    """A generator as `lada_tf.sample` calls it, or as `serve` a SavedModel."""
    if settings.get("precision") == "bfloat16":
        app.assume_frozen_weights()
    if settings["saved_model"]:
        with tempfile.TemporaryDirectory() as folder:
            # In a process of its own: its memory is not what is measured here.
            write = functools.partial(_write_saved_model, settings, folder)
            writer = multiprocessing.get_context("spawn").Process(target=write)
            writer.start()
            writer.join()
            loaded = tf.saved_model.load(folder)
        signature = loaded.signatures["serving_default"]
        latent_dim = signature.structured_input_signature[1]["latents"].shape[1]

        def make(latents):
            return signature(latents=latents)["images"]
    else:
        generator = _generator(settings)
        latent_dim = generator.latent_dim
        graph = compiled(generator, settings["jit_compile"])

        def make(latents):
            return graph(latents)[0]

    def sample(batch_size, calls):
        def run():
            for _ in range(calls):
                make(tf.random.normal((batch_size, latent_dim))).numpy()

        return timed(run)

    first = sample(1, 1)
    report = {"tensorflow": tf.__version__, "peak_mb": first["peak_mb"]}
    return report, {"sample": sample}


def _generator(settings):
    """As `sample` makes it: of its precision, with no discriminator in memory."""
    generator, _ = networks(get_preset(settings["preset"]))
    return copy_without_weights(generator, settings.get("precision", "float32"))


def _write_saved_model(settings, folder):
    write_saved_model(
        _generator(settings),
        folder,
        jit_compile=settings["jit_compile"],
        precision=settings.get("precision", "float32"),
    )


def gemm(times, dtype, side=GEMM):
    """GFLOP/s of a matrix product."""
    a = tf.cast(tf.random.normal((side, side)), dtype)
    multiply = tf.function(tf.matmul)
    multiply(a, a)[0, 0].numpy()
    begin = time.perf_counter()
    for _ in range(times):
        product = multiply(a, a)
    product[0, 0].numpy()
    return 2e-9 * times * side**3 / (time.perf_counter() - begin)


if __name__ == "__main__":
    serve(start)
