"""What happens beside the steps: progress, metrics, pictures, checkpoints.

Every callback acts when the count of images passes a multiple of its interval, so that
a resumed run acts at the same counts.
"""

import signal
import sys
import time

import keras
import tensorflow as tf
from tqdm import tqdm

from lada_tf.io import write_atomically
from lada_tf.sampling.grids import attention_grid, image_grid, png_bytes
from lada_tf.training.checkpoints import Checkpoints
from lada_tf.training.run_directory import RunDirectory

GRID_IMAGES = 64
ATTENTION_IMAGES = 8


class EveryImages(keras.callbacks.Callback):
    """Calls `act(images)` whenever `interval` more images have been seen."""

    def __init__(self, interval: int):
        super().__init__()
        self.interval = interval

    def on_train_begin(self, logs=None):
        self._last = self.model.images_seen

    def on_train_batch_end(self, batch, logs=None):
        images = self.model.images_seen
        if images // self.interval > self._last // self.interval:
            self.act(images)
        self._last = images

    def act(self, images: int) -> None:
        raise NotImplementedError


class ProgressBar(keras.callbacks.Callback):
    """Images seen, images a second, time left, and the two losses."""

    def __init__(self, total_images: int):
        super().__init__()
        self.total_images = total_images

    def on_train_begin(self, logs=None):
        self._bar = tqdm(
            total=self.total_images,
            initial=self.model.images_seen,
            unit=" images",
            dynamic_ncols=True,
            mininterval=0.5 if sys.stderr.isatty() else 30,  # a log, not a screen
            desc="compiling the first step",
        )

    def on_train_batch_end(self, batch, logs=None):
        self._bar.set_description("training", refresh=False)
        self._bar.set_postfix(
            {name: f"{logs[name]:.3f}" for name in ("d_loss", "g_loss")}, refresh=False
        )
        self._bar.update(self.model.images_seen - self._bar.n)

    def on_train_end(self, logs=None):
        self._bar.close()


class MetricsLog(EveryImages):
    """Means since the last line, to metrics.jsonl and TensorBoard.

    metrics.jsonl holds only what the run determines: the same run writes the same
    file. The speed goes to TensorBoard alone.
    """

    def __init__(
        self, folder: RunDirectory, writer: tf.summary.SummaryWriter, interval
    ):
        super().__init__(interval)
        self.folder = folder
        self.writer = writer

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._clock = (time.monotonic(), self.model.images_seen)

    def act(self, images):
        values = {metric.name: float(metric.result()) for metric in self.model.metrics}
        self.model.reset_metrics()
        self.log(images, values)
        now = time.monotonic()
        seconds, before = now - self._clock[0], self._clock[1]
        self._clock = (now, images)
        with self.writer.as_default(step=images):
            tf.summary.scalar("images_per_second", (images - before) / seconds)

    def log(self, images: int, values: dict[str, float]) -> None:
        """Adds values, by name, at a count of images."""
        self.folder.append_metrics(images, values)
        with self.writer.as_default(step=images):
            for name, value in values.items():
                tf.summary.scalar(name, value)


class SampleGrids(EveryImages):
    """Images and attention maps of the averaged generator, from fixed latents."""

    def __init__(
        self,
        folder: RunDirectory,
        writer: tf.summary.SummaryWriter,
        interval,
        seed: int,
    ):
        super().__init__(interval)
        self.folder = folder
        self.writer = writer
        self.seed = seed

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._latents = keras.random.normal(
            (GRID_IMAGES, self.model.latent_dim), seed=self.seed
        )
        if self.model.images_seen == 0:
            self.act(0)

    def on_train_end(self, logs=None):
        self.act(self.model.images_seen)

    def act(self, images):
        generated, maps = self.model.ema_generator(
            self._latents, return_attention_maps=True
        )
        some = slice(0, ATTENTION_IMAGES)
        for name, picture in (
            ("grid", image_grid(generated, columns=8)),
            ("attention", attention_grid(generated[some], [m[some] for m in maps])),
        ):
            path = self.folder.samples / f"{name}-{images:010d}.png"
            write_atomically(path, png_bytes(picture))
            with self.writer.as_default(step=images):
                tf.summary.image(name, picture[None])


class CheckpointEvery(EveryImages):
    """Checkpoints at intervals, at the end, and when the process is asked to stop.

    On SIGTERM or SIGINT the steps in progress are finished and saved, and the process
    exits with 143 or 130.
    """

    def __init__(self, checkpoints: Checkpoints, interval):
        super().__init__(interval)
        self.checkpoints = checkpoints
        self._signal: int | None = None

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._handlers = {
            number: signal.signal(number, self._remember)
            for number in (signal.SIGTERM, signal.SIGINT)
        }

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        if self._signal is not None:
            self.checkpoints.save()
            raise SystemExit(128 + self._signal)

    def act(self, images):
        self.checkpoints.save()

    def on_train_end(self, logs=None):
        self.checkpoints.save()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _remember(self, number, frame):
        self._signal = number
