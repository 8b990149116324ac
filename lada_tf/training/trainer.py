"""Train from a configuration and a dataset to a finished run directory."""

import dataclasses
import datetime
import os
import time
from collections.abc import Sequence

import keras
import tensorflow as tf

from lada_tf.data import ImageSource
from lada_tf.errors import UserError
from lada_tf.evaluation.extract_features import (
    Extractor,
    choose_features,
    open_extractor,
)
from lada_tf.models import LadaGAN, Preset
from lada_tf.models.networks import check_sizes
from lada_tf.training import distribution
from lada_tf.training.callbacks import unbreakable_streams
from lada_tf.training.checkpoints import find_checkpoint
from lada_tf.training.configuration import TrainingOptions, flagfile_text
from lada_tf.training.distribution import reporting_lost_workers
from lada_tf.training.loop import TrainingLoop
from lada_tf.training.parent import Parent, open_parent
from lada_tf.training.run import TrainingRun
from lada_tf.training.run_directory import RunDirectory
from lada_tf.training.user_callbacks import check_loggers

TIMED_STEPS = 3  # of a dry run


def build(preset: Preset, options: TrainingOptions) -> LadaGAN:
    """Create a compiled LadaGAN. Call this in the scope of the strategy that trains it.

    Raises:
        UserError: if the sizes in the configuration do not fit together, or the devices
            do not support the options.
    """
    strategy = tf.distribute.get_strategy()
    replicas = strategy.num_replicas_in_sync
    distribution.check_jit_compile(options.jit_compile, strategy)
    distribution.check_batch_size(
        preset.batch_size, options.gradient_accumulation_steps, replicas
    )
    keras.utils.set_random_seed(options.seed)
    gan = LadaGAN.from_preset(
        preset,
        seed=options.seed,
        precision=options.precision,
        sync_batch_norm=options.sync_batch_norm and replicas > 1,
    )
    gan.compile(
        gradient_accumulation_steps=options.gradient_accumulation_steps,
        gradient_checkpointing=options.gradient_checkpointing,
    )
    return gan


def check(
    preset: Preset,
    run_dir: str | os.PathLike,
    options: TrainingOptions,
    strategy: tf.distribute.Strategy,
    source: ImageSource | None = None,
    init_from: str | os.PathLike | Parent | None = None,
) -> None:
    """Raise the errors that `train` would raise before the first step. Write nothing.

    Args:
        source: if None, skip the checks that need images.

    The other arguments and the errors are those of `train`.
    """
    if not preset.total_images:
        raise UserError("total_images=0: set the number of images to train on")
    distribution.check_jit_compile(options.jit_compile, strategy)
    distribution.check_batch_size(
        preset.batch_size,
        options.gradient_accumulation_steps,
        strategy.num_replicas_in_sync,
    )
    directory = RunDirectory(run_dir)
    if parent := open_parent(init_from, directory, options.seed):
        parent.check_fits(preset)
    check_sizes(preset)
    _check_freeze(preset, init_from)
    if distribution.is_chief(strategy):
        _open_extractor(_choose_features(options, preset), source)
        fingerprint = source.fingerprint if source is not None else ""
        settings = dataclasses.asdict(options) | _as_setting(init_from)
        directory.check(preset, settings, fingerprint)


def dry_run(
    preset: Preset,
    source: ImageSource,
    run_dir: str | os.PathLike,
    options: TrainingOptions,
    strategy: tf.distribute.Strategy,
    init_from: str | os.PathLike | Parent | None = None,
) -> None:
    """Print the plan, build the models, and run a few steps. Write no files.

    The arguments and errors are those of `train`.
    """
    preset = dataclasses.replace(preset, resize=source.resize)
    parent = open_parent(init_from, RunDirectory(run_dir), options.seed)
    check(preset, run_dir, options, strategy, source, parent or init_from)
    checkpoint = find_checkpoint(RunDirectory(run_dir).checkpoints)
    print(flagfile_text(dataclasses.asdict(preset)), end="")
    epochs = preset.total_images / len(source)
    print(f"data: {len(source):,} images ({source.fingerprint}), {epochs:,.1f} epochs")
    state = f"resumes from {checkpoint.name}" if checkpoint else "starts a new run"
    print(f"run directory: {run_dir}: {state} (unchanged)")
    if parent:
        print(f"initial weights: {parent}")
    intervals = options.automatic_intervals(preset)
    print(f"log line: every {intervals.log_images:,} images")
    print(f"sample grid: every {intervals.sample_images:,} images")
    print(f"checkpoint: every {intervals.checkpoint_images:,} images")
    with strategy.scope():
        gan = build(preset, options)
        if parent:
            parent.copy_to(gan)
    print(f"generator: {gan.generator.count_params():,} parameters")
    print(f"discriminator: {gan.discriminator.count_params():,} parameters")
    batches = distribution.distributed_batches(
        strategy, source, preset.batch_size, seed=options.seed, flip=options.flip
    )
    iterator = iter(batches)
    loop = TrainingLoop(gan, strategy, options.jit_compile)
    start = time.monotonic()
    loop.run(iterator, steps=1)
    print(f"first step, with compilation: {time.monotonic() - start:.1f} s")
    for metric in gan.metrics:
        print(f"  {metric.name}: {float(metric.result()):.4f}")
    start = time.monotonic()
    loop.run(iterator, steps=TIMED_STEPS)
    seconds = (time.monotonic() - start) / TIMED_STEPS
    total = datetime.timedelta(
        seconds=round(seconds * preset.total_images / preset.batch_size)
    )
    print(f"time per step: {seconds:.3f} s, {total} in total")
    print(f"memory: {distribution.describe_peak_memory()}")


def train(
    preset: Preset,
    source: ImageSource,
    run_dir: str | os.PathLike,
    options: TrainingOptions | None = None,
    strategy: tf.distribute.Strategy | None = None,
    source_settings: dict | None = None,
    loggers: tuple[str, ...] = ("tensorboard",),
    callbacks: Sequence[keras.callbacks.Callback] = (),
    init_from: str | os.PathLike | Parent | None = None,
) -> LadaGAN:
    """Train in a run directory, or resume the run in it.

    Args:
        preset: the configuration.
        source: real images, from `lada_tf.data.open_source`.
        run_dir: path of a new run directory, or of the run to resume.
        options: seed, intervals, precision, and so on.
        strategy: from `lada_tf.training.distribution.make_strategy`. The default is the
            current one. With several workers, only the chief writes the run directory.
        source_settings: flags of `lada_tf.train` that opened `source`, to store them in
            the run's `flags.cfg`.
        loggers: where to write metrics besides metrics.jsonl, see
            `lada_tf.training.user_callbacks`.
        callbacks: Keras callbacks. Checkpoints do not contain their state.
        init_from: a `Parent` or its source. A new run starts from its weights, with new
            optimizers. A resumed run does not load it.

    Returns:
        The trained `LadaGAN`.

    Raises:
        UserError: if the directory is in use, contains something else, or cannot be
            written; if the disk is full; or if the networks of `init_from` differ.
            Existing checkpoints stay valid.
        TrainingDiverged: if a loss or gradient is not finite, after the rollbacks that
            `options` allow. `nonfinite-<step>.json` in the run directory has the
            details.
        WorkerLost: if another worker is gone.
        SystemExit: after SIGINT, SIGTERM or SIGHUP, when a checkpoint is saved.
    """
    preset = dataclasses.replace(preset, resize=source.resize)
    options = options or TrainingOptions()
    strategy = strategy or tf.distribute.get_strategy()
    check_loggers(loggers)
    if callbacks and distribution.count_workers(strategy) > 1:
        raise UserError(
            "callback: not supported with several workers, because callbacks run on "
            "the first worker only and can change its weights. Leave it out"
        )
    extractor = None
    if distribution.is_chief(strategy):
        options = _choose_features(options, preset)
        extractor = _open_extractor(options, source)
    directory = RunDirectory(run_dir)
    if parent := open_parent(init_from, directory, options.seed):
        parent.check_fits(preset)
    _check_freeze(preset, init_from)
    with strategy.scope(), reporting_lost_workers(strategy):
        gan = build(preset, options)
        if parent:
            parent.copy_to(gan)
    settings = dataclasses.asdict(options) | (source_settings or {})
    settings |= {"logger": loggers} | _as_setting(init_from)
    run = TrainingRun(
        preset=preset,
        source=source,
        directory=directory,
        options=options,
        settings=settings,
        loggers=loggers,
        callbacks=callbacks,
        strategy=strategy,
        gan=gan,
        extractor=extractor,
        parent=parent,
    )
    try:
        with (
            unbreakable_streams(),
            directory.reporting_errors(True),
            reporting_lost_workers(strategy),
        ):
            run.start()
            run.train()
    finally:
        directory.release_lock()
    return gan


def _check_freeze(preset: Preset, init_from: str | os.PathLike | Parent | None) -> None:
    """Raise a UserError if `freeze_d` would freeze random stages."""
    if preset.freeze_d and not init_from:
        raise UserError(
            f"freeze_d={preset.freeze_d}: without init_from, random stages would be "
            "frozen. Set init_from, or freeze_d=0"
        )


def _as_setting(init_from: str | os.PathLike | Parent | None) -> dict[str, str]:
    """Return the line for flags.cfg, or nothing for a run without a parent."""
    if not init_from:
        return {}
    source = init_from.source if isinstance(init_from, Parent) else init_from
    return {"init_from": os.fspath(source)}


def _choose_features(options: TrainingOptions, preset: Preset) -> TrainingOptions:
    """Return the options with a choice of features, if the run has evaluations."""
    if not options.eval_images or options.eval_features:
        return options
    features = choose_features(preset.image_size)
    return dataclasses.replace(options, eval_features=features)


def _open_extractor(
    options: TrainingOptions, source: ImageSource | None
) -> Extractor | None:
    if not options.eval_images:
        return None
    if source is not None and len(source) < 2:
        raise UserError(
            f"eval_images={options.eval_images}: a Fréchet distance needs at least 2 "
            f"images, and the dataset has {len(source)}. Set eval_images=0"
        )
    try:
        return open_extractor(options.eval_features)
    except UserError as error:
        prefix = f"features={options.eval_features}"
        text = str(error).removeprefix(prefix).replace(" set inception_graph=FILE,", "")
        separator = "" if str(error).startswith(prefix) else ": "
        raise UserError(f"eval_{prefix}{separator}{text}") from error
