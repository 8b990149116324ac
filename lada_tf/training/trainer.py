"""Training from a configuration and a source of images to a finished run folder."""

import dataclasses
import signal

import keras
import tensorflow as tf
from absl import logging

from lada_tf.data import ImageSource, batch_indices
from lada_tf.errors import TrainingDiverged, UserError
from lada_tf.evaluation.callback import FrechetDistanceCallback
from lada_tf.evaluation.extract_features import open_extractor
from lada_tf.models import LadaGAN, Preset
from lada_tf.training.callbacks import (
    CheckpointEvery,
    MetricsLog,
    ProgressBar,
    SampleGrids,
)
from lada_tf.training.checkpoints import Checkpoints
from lada_tf.training.distribution import (
    check_batch_size,
    check_same_state,
    distributed_batches,
    is_chief,
)
from lada_tf.training.execution import compiles, describe_execution, overlaps
from lada_tf.training.full_disk import full_disk_named
from lada_tf.training.loop import Loop, NonFiniteStep
from lada_tf.training.options import TrainingOptions
from lada_tf.training.run_directory import RunDirectory

# Between the seeds of a run before and after a rollback.
SEEDS_APART = 1_000_003


def build(preset: Preset, options: TrainingOptions) -> LadaGAN:
    """A compiled LadaGAN whose initial weights and random draws follow the seed.

    To be called in the scope of the strategy that will train it.

    Raises:
        UserError: if the configuration's sizes do not fit together.
    """
    strategy = tf.distribute.get_strategy()
    replicas = strategy.num_replicas_in_sync
    check_batch_size(preset.batch_size, options.gradient_accumulation_steps, replicas)
    keras.utils.set_random_seed(options.seed)
    try:
        gan = LadaGAN.from_preset(
            preset,
            seed=options.seed,
            precision=options.precision,
            sync_batch_norm=options.sync_batch_norm and replicas > 1,
        )
    except ValueError as error:
        raise UserError(f"the configuration does not fit together: {error}") from error
    gan.compile(
        gradient_accumulation_steps=options.gradient_accumulation_steps,
        gradient_checkpointing=options.gradient_checkpointing,
        overlap=overlaps(preset, options, strategy),
    )
    return gan


def train(
    preset: Preset,
    source: ImageSource,
    run_dir,
    options: TrainingOptions | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> LadaGAN:
    """Trains in a run folder; called again on the same folder, goes on where it was.

    Args:
        preset: the configuration.
        source: images, from `lada_tf.data.open_source`.
        run_dir: path of a run folder, new or of the same run.
        options: seed, intervals, compilation.
        strategy: of `lada_tf.training.distribution.make_strategy`; by default that in
            whose scope this is called. Of several workers the first one writes.

    Returns:
        The trained `LadaGAN`.

    Raises:
        UserError: if the folder is in use, holds something else, or cannot be written;
            if the disk is full, after which what is on it stays valid.
        TrainingDiverged: at a loss or gradient that is not finite, after the rollbacks
            that `options` allow. `nonfinite-<step>.json` in the folder tells of it.
        WorkerLost: if another worker is gone.
    """
    options = options or TrainingOptions()
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        gan = build(preset, options)
    folder = RunDirectory(run_dir)
    run = _Run(preset, source, folder, options, strategy, gan)
    try:
        with full_disk_named(run_dir):
            run.start()
            while gan.images_seen < preset.total_images:
                try:
                    run.go_on()
                except NonFiniteStep as step:
                    run.record(step)
                    run.roll_back(step)
    finally:
        folder.leave()
    return gan


@dataclasses.dataclass
class _Run:
    """A run under way: from the last checkpoint to the end, or to a non-finite step."""

    preset: Preset
    source: ImageSource
    folder: RunDirectory
    options: TrainingOptions
    strategy: tf.distribute.Strategy
    gan: LadaGAN

    def __post_init__(self):
        self.checkpoints = Checkpoints(
            self.folder.checkpoints, self.gan, self.options.keep_checkpoints
        )

    def start(self) -> None:
        """Takes the run folder, and restores what is there."""
        if is_chief(self.strategy):
            self.folder.start(
                self.preset, dataclasses.asdict(self.options), self.source.fingerprint
            )
        else:  # ends when the first one does
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        if restored := self.checkpoints.restore():
            print(f"going on from {restored}")
        check_same_state(self.strategy, self.gan.steps)
        seen = self.gan.images_seen
        if seen >= self.preset.total_images:
            print(f"{seen} images are done already: raise --total_images")
        else:
            how = describe_execution(self.preset, self.options, self.strategy)
            print(f"training on {how}")

    def go_on(self) -> None:
        """Trains from the state at hand to the end."""
        gan, preset, options = self.gan, self.preset, self.options
        gan.seed = self._seed()
        callbacks = self._callbacks() if is_chief(self.strategy) else []
        Loop(gan, self.strategy, compiles(options, self.strategy)).run(
            distributed_batches(
                self.strategy,
                self.source,
                preset.batch_size,
                seed=gan.seed,
                start_step=gan.steps,
                flip=options.flip,
            ),
            -(-preset.total_images // preset.batch_size) - gan.steps,
            callbacks,
            self._steps_to_act,
        )

    def record(self, step: NonFiniteStep) -> None:
        """Keeps what is needed to study a non-finite step, beside the checkpoints."""
        if is_chief(self.strategy):
            self.folder.write_nonfinite(
                step.step,
                {
                    "step": step.step,
                    "seed": self.gan.seed,
                    "batch_size": self.preset.batch_size,
                    "image_indices": batch_indices(
                        len(self.source),
                        self.preset.batch_size,
                        self.gan.seed,
                        step.step,
                    ).tolist(),
                    **step.values,
                },
            )

    def roll_back(self, step: NonFiniteStep) -> None:
        """Restores the last checkpoint, to go on with another seed; or raises."""
        done = self.checkpoints.rollbacks
        if (
            self.options.on_nonfinite != "rollback"
            or done == self.options.max_rollbacks
        ):
            raise TrainingDiverged(
                f"{step}; see {self.folder.nonfinite_file(step.step)}"
                + (f" (after {done} rollbacks)" if done else "")
            ) from step
        restored = self.checkpoints.restore()
        self.checkpoints.rollbacks = done + 1
        logging.warning(
            "%s: rollback %d of %d, to %s",
            step,
            done + 1,
            self.options.max_rollbacks,
            restored,
        )

    def _seed(self) -> int:
        """The run's, or another after a rollback."""
        return self.options.seed + SEEDS_APART * self.checkpoints.rollbacks

    def _callbacks(self) -> list[keras.callbacks.Callback]:
        """What the process that writes does between steps."""
        self.checkpoints.remove_leftovers()
        self.folder.forget_metrics_after(self.gan.images_seen)
        if self.options.on_nonfinite == "rollback" and not self.checkpoints.list():
            self.checkpoints.save()  # to have one to go back to
        writer = tf.summary.create_file_writer(str(self.folder.logs))
        options = self.options
        log = MetricsLog(self.folder, writer, options.log_images)
        callbacks = [
            ProgressBar(self.preset.total_images),
            log,
            SampleGrids(self.folder, writer, options.sample_images, options.seed),
        ]
        if options.fd_images:
            callbacks.append(self._frechet_distance(log))
        return [
            *callbacks,
            CheckpointEvery(self.checkpoints, options.checkpoint_images),
        ]

    def _steps_to_act(self) -> int:
        """Steps until the first of the callbacks that act at intervals is due."""
        options, seen = self.options, self.gan.images_seen
        intervals = (
            options.log_images,
            options.sample_images,
            options.checkpoint_images,
            options.fd_images or self.preset.total_images,
        )
        images = min(interval - seen % interval for interval in intervals)
        return -(-images // self.preset.batch_size)

    def _frechet_distance(self, log: MetricsLog) -> FrechetDistanceCallback:
        return FrechetDistanceCallback(
            self.source,
            open_extractor("small_classifier"),
            log.log,
            num_images=self.options.fd_samples,
            every_images=self.options.fd_images,
            on_best=self.checkpoints.save_best,
            best=self.checkpoints.best_distance(),
        )
