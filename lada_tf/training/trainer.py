"""Training from a configuration and a source of images to a finished run folder."""

import dataclasses

import keras
import tensorflow as tf

from lada_tf.data import ImageSource, batches
from lada_tf.errors import UserError
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
    """What a run needs beside its configuration. Intervals count real images."""

    seed: int = 0
    flip: bool = False
    log_images: int = 10_000
    sample_images: int = 100_000
    checkpoint_images: int = 100_000
    keep_checkpoints: int = 2
    jit_compile: bool | str = "auto"


def build(preset: Preset, options: Options) -> LadaGAN:
    """A compiled LadaGAN whose initial weights and random draws follow the seed.

    Raises:
        UserError: if the configuration's sizes do not fit together.
    """
    # Same seed, same run: also with the operations that are free to reorder sums.
    tf.config.experimental.enable_op_determinism()
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
    folder.forget_metrics_after(gan.images_seen)
    if restored:
        print(f"going on from {restored}")

    steps = -(-preset.total_images // preset.batch_size) - gan.steps
    if steps <= 0:
        print(f"{gan.images_seen} images are done already: raise --total_images")
        return gan
    writer = tf.summary.create_file_writer(str(folder.logs))
    gan.fit(
        batches(
            source,
            preset.batch_size,
            seed=options.seed,
            start_step=gan.steps,
            flip=options.flip,
        ),
        steps_per_epoch=steps,
        callbacks=[
            ProgressBar(preset.total_images),
            MetricsLog(folder, writer, options.log_images),
            SampleGrids(folder, writer, options.sample_images),
            CheckpointEvery(checkpoints, options.checkpoint_images),
        ],
        verbose=0,
        shuffle=False,
    )
    writer.close()
    return gan
