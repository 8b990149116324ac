"""One training run in progress: start, callbacks, rollbacks, and a clean stop."""

import contextlib
import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf
from absl import logging

from lada_tf.data import ImageSource, batch_indices
from lada_tf.errors import TrainingDiverged
from lada_tf.evaluation.callback import EvaluationCallback, IntervalCallback
from lada_tf.evaluation.extract_features import Extractor
from lada_tf.models import LadaGAN, Preset
from lada_tf.training import distribution
from lada_tf.training.callbacks import (
    CheckpointEvery,
    MetricsLog,
    ProgressBar,
    SampleGrids,
    Stopped,
    StopSignal,
)
from lada_tf.training.checkpoints import Checkpoints
from lada_tf.training.configuration import TrainingOptions
from lada_tf.training.loop import NonFiniteStep, TrainingLoop
from lada_tf.training.parent import Parent
from lada_tf.training.run_directory import RunDirectory
from lada_tf.training.run_log import RunLog
from lada_tf.training.user_callbacks import UserCallbacks, open_loggers

# Difference between the seeds of a run before and after a rollback.
SEED_STRIDE = 1_000_003


@dataclasses.dataclass
class TrainingRun:
    """A run in progress. Every worker has one, but only the chief writes files.

    Attributes:
        preset: configuration of the run.
        source: real images.
        directory: the run directory.
        options: seed, intervals, and so on.
        settings: the options and other flags, to store them in flags.cfg.
        loggers: names of the loggers.
        callbacks: callbacks of the user.
        strategy: the strategy that trains.
        gan: a compiled `LadaGAN`, created in the scope of the strategy.
        extractor: computes the features of evaluations. None if there are none, and in
            workers other than the chief.
        parent: the parent of a new run, or None.
    """

    preset: Preset
    source: ImageSource
    directory: RunDirectory
    options: TrainingOptions
    settings: dict
    loggers: tuple[str, ...]
    callbacks: Sequence[keras.callbacks.Callback]
    strategy: tf.distribute.Strategy
    gan: LadaGAN
    extractor: Extractor | None
    parent: Parent | None

    def __post_init__(self) -> None:
        self._is_chief = distribution.is_chief(self.strategy)
        # Only the chief handles signals; the other workers end when it does.
        self._stop = StopSignal(ignore=not self._is_chief)
        self._checkpoints = Checkpoints(
            self.directory.checkpoints, self.gan, self.options.keep_checkpoints
        )
        self._log = RunLog(self.directory, "tensorboard" in self.loggers)
        self._all_settings = dataclasses.asdict(self.preset) | self.settings

    def start(self) -> None:
        """Lock the run directory and restore its last checkpoint."""
        if self._is_chief:
            record = self.parent.record(self._all_settings) if self.parent else ""
            fingerprint = self.source.fingerprint
            self.directory.start(self.preset, self.settings, fingerprint, record)
        state = 0
        if restored := self._checkpoints.restore():
            print(f"resuming from {restored}")
            state = self.gan.steps
        elif self.parent:
            print(f"starting from {self.parent}")
            state = int(self.parent.sha256[:15], 16)
        distribution.check_same_state(self.strategy, state)
        if restored and self._is_chief:
            # The last process can have died while it replaced or deleted checkpoints.
            self._checkpoints.keep_restored(restored)
            self._checkpoints.remove_leftovers()

    def train(self) -> None:
        """Train to the last image, with rollbacks if the options allow them.

        Raises:
            Stopped: after a signal, when a checkpoint is saved.
            TrainingDiverged: see `lada_tf.training.train`.
        """
        total = self.preset.total_images
        if not self._is_unfinished():
            print(
                f"already trained on total_images={total}. To continue, set a larger "
                "total_images"
            )
            return
        devices = distribution.describe_devices(self.strategy)
        compiler = " with XLA" if self.options.jit_compile else ""
        print(f"training on {devices}. Compiling the first step{compiler}")
        names = self.loggers if self._is_chief else ()
        loggers = open_loggers(names, self.directory, self._all_settings)
        with self._stop, loggers as logger_callbacks:
            user_callbacks = [*self.callbacks, *logger_callbacks]
            try:
                while self._is_unfinished():
                    self._stop.exit_if_set()  # in a rollback
                    try:
                        self._train_to_end(user_callbacks)
                    except NonFiniteStep as step:
                        self._roll_back(step)
                self._stop.exit_if_set()  # in the last callbacks
            except Stopped:
                path = shlex.quote(str(self.directory.path))
                print(
                    f"saved at {self.gan.images_seen:,} images. Resume with: "
                    f"lada-tf train --run_dir={path}"
                )
                raise

    def _is_unfinished(self) -> bool:
        """Return whether there are images left, and no callback has stopped the run."""
        is_stopped = getattr(self.gan, "stop_training", False)
        return self.gan.images_seen < self.preset.total_images and not is_stopped

    def _train_to_end(self, user_callbacks: list[keras.callbacks.Callback]) -> None:
        """Train from the current state until `total_images`."""
        gan, batch_size = self.gan, self.preset.batch_size
        gan.seed = self.options.seed + SEED_STRIDE * self._checkpoints.rollbacks
        steps = -((gan.images_seen - self.preset.total_images) // batch_size)
        progress = ProgressBar(self.preset.total_images)
        callbacks = []
        if self._is_chief:
            callbacks = self._make_callbacks(user_callbacks, progress)
        intervals = [c for c in callbacks if isinstance(c, IntervalCallback)]

        def max_steps_per_call() -> int:
            images = min((c.images_until_due() for c in intervals), default=1)
            return -(-images // batch_size)

        batches = distribution.distributed_batches(
            self.strategy,
            self.source,
            batch_size,
            seed=gan.seed,
            start_step=gan.steps,
            flip=self.options.flip,
        )
        loop = TrainingLoop(gan, self.strategy, self.options.jit_compile)
        with contextlib.closing(progress):
            loop.run(batches, steps, callbacks, max_steps_per_call)

    def _make_callbacks(
        self, user_callbacks: list[keras.callbacks.Callback], progress: ProgressBar
    ) -> list[keras.callbacks.Callback]:
        """Return the callbacks of the chief, after removing what they write again."""
        checkpoints, log = self._checkpoints, self._log
        options = self.options.automatic_intervals(self.preset)
        checkpoints.remove_leftovers()
        log.truncate(self.gan.images_seen)
        needs_first = options.on_nonfinite == "rollback" or "init_from" in self.settings
        if needs_first and not checkpoints.paths():
            # A rollback before the first interval needs this checkpoint. So does a run
            # that resumes without its parent.
            checkpoints.save()
        callbacks: list[keras.callbacks.Callback] = [
            MetricsLog(log, options.log_images),
            SampleGrids(
                self.directory.samples, log, options.sample_images, options.seed
            ),
        ]
        if self.extractor is not None:
            evaluation = EvaluationCallback(
                self.source,
                self.extractor,
                log.write,
                num_images=options.eval_samples,
                every_images=options.eval_images,
                best_by=options.best_by,
                on_best=checkpoints.save_best,
                cache_dir=self.settings.get("cache_dir"),
            )
            evaluation.best = checkpoints.best_distance(evaluation.selector)
            progress.values = evaluation.values
            callbacks.append(evaluation)
        if user_callbacks:
            callbacks.append(UserCallbacks(user_callbacks, log, options.log_images))
        # Last, so that a checkpoint contains the metrics as the others have reset them.
        saving = CheckpointEvery(checkpoints, options.checkpoint_images, self._stop)
        return [*callbacks, saving, progress]

    def _roll_back(self, step: NonFiniteStep) -> None:
        """Report the step, and restore the last checkpoint to use another seed.

        Raises:
            TrainingDiverged: if the options do not allow another rollback.
        """
        file: str | Path = "the report that the first worker writes"
        if self._is_chief:
            batch_size, seed = self.preset.batch_size, self.gan.seed
            indices = batch_indices(len(self.source), batch_size, seed, step.step)
            facts = {"image_indices": indices.tolist(), **step.values}
            file = self.directory.write_nonfinite(
                step.step, seed=seed, batch_size=batch_size, **facts
            )
        done, limit = self._checkpoints.rollbacks, self.options.max_rollbacks
        if self.options.on_nonfinite != "rollback" or done >= limit:
            raise TrainingDiverged(
                f"{step}; see {file}" + (f" (after {done} rollbacks)" if done else "")
            ) from step
        restored = self._checkpoints.roll_back()
        logging.warning("%s: rollback %d of %d to %s", step, done + 1, limit, restored)
