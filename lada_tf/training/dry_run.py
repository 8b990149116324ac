"""What a run would do, shown without doing it."""

import dataclasses
import time

import tensorflow as tf

from lada_tf.data import ImageSource
from lada_tf.models import Preset
from lada_tf.training.configuration import flagfile_text
from lada_tf.training.distribution import distributed_batches
from lada_tf.training.execution import compiles
from lada_tf.training.loop import Loop
from lada_tf.training.options import TrainingOptions
from lada_tf.training.trainer import build


def dry_run(
    preset: Preset,
    source: ImageSource,
    run_dir,
    options: TrainingOptions,
    strategy: tf.distribute.Strategy,
) -> None:
    """Prints the plan, builds the models, runs one step; writes no file."""
    print(flagfile_text(dataclasses.asdict(preset)), end="")
    epochs = preset.total_images / len(source)
    print(f"data: {len(source):,} images ({source.fingerprint}), {epochs:,.1f} epochs")
    print(f"run folder: {run_dir} (not touched)")
    for what, images in (
        ("log line", options.log_images),
        ("grid", options.sample_images),
        ("checkpoint", options.checkpoint_images),
    ):
        print(f"a {what} every {images:,} images")
    with strategy.scope():
        gan = build(preset, options)
    print(f"generator: {gan.generator.count_params():,} parameters")
    print(f"discriminator: {gan.discriminator.count_params():,} parameters")
    dataset = distributed_batches(
        strategy, source, preset.batch_size, seed=options.seed, flip=options.flip
    )
    start = time.monotonic()
    Loop(gan, strategy, compiles(options, strategy)).run(dataset, steps=1)
    print(f"one step, compiling included: {time.monotonic() - start:.1f} s")
    for metric in gan.metrics:
        print(f"  {metric.name}: {float(metric.result()):.4f}")
