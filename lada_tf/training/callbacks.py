"""Callbacks of the training loop: progress, metrics, sample grids, checkpoints."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import keras
import tensorflow as tf
from tqdm import tqdm
from tqdm.utils import ObjectWrapper

from lada_tf.evaluation.callback import IntervalCallback
from lada_tf.io import write_atomically
from lada_tf.models.latents import latents
from lada_tf.sampling.grids import attention_grid, image_grid, png_bytes
from lada_tf.training.checkpoints import Checkpoints
from lada_tf.training.run_log import RunLog

GRID_IMAGES = 64
GRID_COLUMNS = 8
ATTENTION_IMAGES = 8
CHECKPOINT_SECONDS = 600  # the longest time between two checkpoints


class _Unbreakable(ObjectWrapper):
    """A stream that ignores the errors of writes."""

    def write(self, text):
        with contextlib.suppress(OSError, ValueError):
            self._wrapped.write(text)

    def flush(self):
        with contextlib.suppress(OSError, ValueError):
            self._wrapped.flush()


@contextlib.contextmanager
def unbreakable_streams() -> Iterator[None]:
    """Let training continue if its terminal, or the reader of its pipe, is gone."""

    stdout, stderr = _Unbreakable(sys.stdout), _Unbreakable(sys.stderr)
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        yield


class ProgressBar(keras.callbacks.Callback):
    """Shows images seen, images per second, time left, losses, and other values.

    The bar appears after the first call of the training loop. That call compiles the
    step, which the time left must not include.

    Args:
        total_images: number of images at the end.

    Attributes:
        values: other values by name, which may change.
    """

    def __init__(self, total_images: int):
        super().__init__()
        self.total_images = total_images
        self.values: Mapping[str, float] = {}
        self._bar: tqdm | None = None

    def on_train_batch_end(self, batch, logs=None):
        images_seen = self.model.images_seen
        if self._bar is None:
            self._bar = tqdm(
                total=self.total_images,
                initial=images_seen,
                unit=" images",
                dynamic_ncols=True,
                mininterval=0.5 if sys.stderr.isatty() else 30,  # rarely in a log file
                desc="training",
            )
        losses = {name: f"{logs[name]:.3f}" for name in ("d_loss", "g_loss")}
        others = {name: f"{value:.4g}" for name, value in self.values.items()}
        self._bar.set_postfix(losses | others, refresh=False)
        self._bar.update(images_seen - self._bar.n)

    def close(self) -> None:
        """End the bar, so that the next output starts on a new line."""
        if self._bar is not None:
            self._bar.close()


class MetricsLog(IntervalCallback):
    """Writes the mean metrics since the last line to metrics.jsonl and TensorBoard.

    Runs of the same settings write the same metrics.jsonl, so the speed goes to
    TensorBoard only.
    """

    def __init__(self, log: RunLog, interval: int):
        super().__init__(interval)
        self._log = log

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._last_line = (time.monotonic(), self.model.images_seen)

    def on_train_end(self, logs=None):
        pass  # a longer run has no line here

    def act(self, images_seen):
        values = {metric.name: float(metric.result()) for metric in self.model.metrics}
        self.model.reset_metrics()
        self._log.write(images_seen, values)
        (last_time, last_images), now = self._last_line, time.monotonic()
        self._last_line = (now, images_seen)
        speed = (images_seen - last_images) / (now - last_time)
        with self._log.summaries.as_default(step=images_seen):
            tf.summary.scalar("images_per_second", speed)


class SampleGrids(IntervalCallback):
    """Writes images and attention maps of the EMA generator, from fixed latents."""

    def __init__(self, samples: Path, log: RunLog, interval: int, seed: int):
        super().__init__(interval)
        self._samples = samples
        self._log = log
        self._seed = seed

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._latents = latents(self._seed, range(GRID_IMAGES), self.model.latent_dim)
        if self.model.images_seen == 0:
            self.act(0)

    def act(self, images_seen):
        images, maps = self.model.ema_generator(
            self._latents, return_attention_maps=True
        )
        first = slice(0, ATTENTION_IMAGES)
        for name, picture in (
            ("grid", image_grid(images, columns=GRID_COLUMNS)),
            ("attention", attention_grid(images[first], [m[first] for m in maps])),
        ):
            path = self._samples / f"{name}-{images_seen:010d}.png"
            write_atomically(path, png_bytes(picture))
            with self._log.summaries.as_default(step=images_seen):
                tf.summary.image(name, picture[None])


class Stopped(SystemExit):
    """A signal has ended training. The code is 128 plus the signal's number."""


class StopSignal:
    """Context in which signals ask training to stop, instead of ending the process.

    Signals that the process ignores stay ignored, such as SIGHUP after `nohup`. In a
    thread other than the main thread, this context does nothing.

    Args:
        ignore: whether to ignore the signals.

    Attributes:
        number: number of the last signal, or None.
    """

    def __init__(self, ignore: bool = False):
        self.number: int | None = None
        self._handler = signal.SIG_IGN if ignore else self._on_signal
        self._restore = contextlib.ExitStack()

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            # Windows has no SIGHUP.
            names = {"SIGTERM", "SIGINT", "SIGHUP"} & set(dir(signal))
            for number in [getattr(signal, name) for name in sorted(names)]:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    previous = signal.signal(number, self._handler)
                    self._restore.callback(signal.signal, number, previous)
        return self

    def __exit__(self, *_):
        self._restore.close()

    def exit_if_set(self) -> None:
        """Raise `Stopped` if there was a signal."""
        if self.number is not None:
            raise Stopped(128 + self.number)

    def _on_signal(self, number, frame):
        if self.number is None:
            # Not `print`: the signal can have interrupted it. The terminal can be gone.
            with contextlib.suppress(OSError):
                os.write(2, b"\nstopping after this step; Ctrl-C again stops now\n")
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number


class CheckpointEvery(IntervalCallback):
    """Saves checkpoints at intervals, every 10 minutes, at the end, and on a signal.

    A signal lets the current call of the training loop end. Then this callback saves a
    checkpoint and raises `Stopped` with code 143 (SIGTERM), 130 (SIGINT) or 129
    (SIGHUP).
    """

    def __init__(self, checkpoints: Checkpoints, interval: int, stop: StopSignal):
        super().__init__(interval)
        self.checkpoints = checkpoints
        self.stop = stop

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._saved_at = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        if self.params and batch + 1 == self.params.get("steps"):
            return  # `on_train_end` saves, after the other callbacks have written
        super().on_train_batch_end(batch, logs)
        late = time.monotonic() - self._saved_at > CHECKPOINT_SECONDS
        if self.stop.number is not None or late:
            self.act_once()
        self.stop.exit_if_set()

    def act(self, images_seen):
        self.checkpoints.save()
        self._saved_at = time.monotonic()
