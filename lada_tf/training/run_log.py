"""The logged values of a run: metrics.jsonl, and TensorBoard's logs/."""

import functools
import json
import os

import tensorflow as tf

from lada_tf.io import sync_directory, write_atomically
from lada_tf.training.run_directory import RunDirectory, read_metrics


class RunLog:
    """Writes values by name, with the number of images seen.

    Args:
        directory: the run directory.
        tensorboard: whether to write logs/ too.
    """

    def __init__(self, directory: RunDirectory, tensorboard: bool = True):
        self._file = directory.metrics_file
        self._logs = directory.logs
        self._tensorboard = tensorboard
        self._new: dict[str, float] = {}

    @functools.cached_property
    def summaries(self) -> tf.summary.SummaryWriter:
        """The writer of logs/. Without TensorBoard, it writes nothing."""
        if not self._tensorboard:
            return tf.summary.create_noop_writer()
        return tf.summary.create_file_writer(str(self._logs))

    def write(self, images: int, values: dict[str, float]) -> None:
        """Write values to metrics.jsonl and TensorBoard.

        The line is on the disk before a later checkpoint, which depends on it.
        """
        is_new = not self._file.exists()
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"images": images, **values}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync_directory(str(self._file.parent))
        self._new.update(values)
        with self.summaries.as_default(step=images):
            for name, value in values.items():
                tf.summary.scalar(name, value)

    def take_new(self) -> dict[str, float]:
        """Return the values written since the last call."""
        new, self._new = self._new, {}
        return new

    def truncate(self, images: int) -> None:
        """Delete the lines after `images` images. The resumed run writes them again."""
        self._new.clear()
        if self._file.exists():
            records = read_metrics(self._file)
            kept = [f"{json.dumps(r)}\n" for r in records if r["images"] <= images]
            write_atomically(self._file, "".join(kept))
