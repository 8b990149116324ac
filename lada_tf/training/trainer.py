"""Training from a configuration and a source of images to a finished run folder."""

import dataclasses
import os

import keras
import tensorflow as tf

from lada_tf.data import ImageSource, batches
from lada_tf.errors import UserError
from lada_tf.evaluation.callback import FrechetDistanceCallback
from lada_tf.evaluation.open_extractor import open_extractor
from lada_tf.models import LadaGAN, Preset
from lada_tf.training.callbacks import (
    CheckpointEvery,
    MetricsLog,
    ProgressBar,
    SampleGrids,
)
from lada_tf.training.checkpoints import Checkpoints
from lada_tf.training.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Options:
    """What a run needs beside its configuration. Intervals count real images.

    Attributes:
        seed: of the initial weights, latents, augmentation and order of the data.
        flip: whether to mirror half of the real images.
        log_images, sample_images, checkpoint_images: intervals.
        keep_checkpoints: how many of the last ones to keep.
        fd_images: interval of the Fréchet distance over the small classifier's
            features; 0 for none. The best checkpoint by it is kept.
        fd_samples: how many images to measure it on.
        jit_compile: as `keras.Model.compile` takes it.
    """

    seed: int = 0
    flip: bool = False
    log_images: int = 10_000
    sample_images: int = 100_000
    checkpoint_images: int = 100_000
    keep_checkpoints: int = 2
    fd_images: int = 0  # none
    fd_samples: int = 1_000
    jit_compile: bool | str = "auto"


def build(preset: Preset, options: Options) -> LadaGAN:
    """A compiled LadaGAN whose initial weights and random draws follow the seed.

    Raises:
        UserError: if the configuration's sizes do not fit together.
    """
    keras.utils.set_random_seed(options.seed)
    try:
        gan = LadaGAN.from_preset(preset, seed=options.seed)
    except ValueError as error:
        raise UserError(f"the configuration does not fit together: {error}") from error
    gan.compile(jit_compile=options.jit_compile)
    return gan


def train(
    preset: Preset, source: ImageSource, run_dir, options: Options | None = None
) -> LadaGAN:
    """Trains in a run folder; called again on the same folder, goes on where it was.

    Args:
        preset: the configuration.
        source: images, from `lada_tf.data.open_source`.
        run_dir: path of a run folder, new or of the same run.
        options: seed, intervals, compilation.

    Returns:
        The trained `LadaGAN`.

    Raises:
        UserError: if the folder is in use, holds something else, or cannot be written.
    """
    options = options or Options()
    gan = build(preset, options)
    folder = RunFolder(run_dir)
    folder.start(preset, dataclasses.asdict(options), source.fingerprint)
    checkpoints = Checkpoints(folder.checkpoints, gan, options.keep_checkpoints)
    restored = checkpoints.restore()
    checkpoints.remove_leftovers()
    folder.forget_metrics_after(gan.images_seen)
    if restored:
        print(f"going on from {restored}")

    steps = -(-preset.total_images // preset.batch_size) - gan.steps
    if steps <= 0:
        print(f"{gan.images_seen} images are done already: raise --total_images")
        return gan
    print(f"training on {describe_device()}")
    writer = tf.summary.create_file_writer(str(folder.logs))
    log = MetricsLog(folder, writer, options.log_images)
    callbacks = [
        ProgressBar(preset.total_images),
        log,
        SampleGrids(folder, writer, options.sample_images),
    ]
    if options.fd_images:
        callbacks.append(_frechet_distance(source, options, checkpoints, log))
    callbacks.append(CheckpointEvery(checkpoints, options.checkpoint_images))
    gan.fit(
        batches(
            source,
            preset.batch_size,
            seed=options.seed,
            start_step=gan.steps,
            flip=options.flip,
        ),
        steps_per_epoch=steps,
        callbacks=callbacks,
        verbose=0,
        shuffle=False,
    )
    writer.close()
    return gan


def _frechet_distance(source, options, checkpoints, log):
    return FrechetDistanceCallback(
        source,
        open_extractor("small_classifier"),
        log.log,
        num_images=options.fd_samples,
        every_images=options.fd_images,
        on_best=checkpoints.save_best,
        best=checkpoints.best_distance(),
    )


def describe_device() -> str:
    """The device that a step runs on, in words."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return f"the processor ({os.cpu_count()} cores)"
    details = tf.config.experimental.get_device_details(gpus[0])
    return details.get("device_name", "a GPU")
