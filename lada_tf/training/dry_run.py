"""What a run would do, shown without doing it."""

import dataclasses
import time

from lada_tf.data import ImageSource, batches
from lada_tf.models import Preset
from lada_tf.training.configuration import flagfile_text
from lada_tf.training.trainer import Options, build


def dry_run(preset: Preset, source: ImageSource, run_dir, options: Options) -> None:
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
    gan = build(preset, options)
    print(f"generator: {gan.generator.count_params():,} parameters")
    print(f"discriminator: {gan.discriminator.count_params():,} parameters")
    dataset = batches(source, preset.batch_size, seed=options.seed, flip=options.flip)
    start = time.monotonic()
    history = gan.fit(dataset, steps_per_epoch=1, verbose=0, shuffle=False).history
    print(f"one step, compiling included: {time.monotonic() - start:.1f} s")
    for name, (value,) in history.items():
        print(f"  {name}: {value:.4f}")
