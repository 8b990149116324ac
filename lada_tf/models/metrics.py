"""The metrics of a training step, and how `fit` shows them and checks its data."""

import itertools
import os
import types
import warnings
from typing import Any

import keras
import tensorflow as tf

from lada_tf.models.discriminator import check_images, check_range

METRICS = (
    "d_loss",  # adversarial loss of the discriminator alone
    "d_total_loss",  # with weighted R1 and consistency: what it minimizes
    "g_loss",
    "r1",  # without its weight γ; with lazy R1, k times the penalty, or 0
    "r1_weighted",
    "consistency_real",  # without their weights; 0 if bCR is off
    "consistency_fake",
    "real_logits",  # means over the logits of the losses
    "fake_logits",
    "real_accuracy",  # share of real logits above 0
    "fake_accuracy",  # share of fake logits below 0
    "d_grad_norm",  # over all variables of the network
    "g_grad_norm",
)

SHOWN_BY_FIT = ("d_loss", "g_loss", "r1", "real_accuracy")


def fake_metrics(logits: tf.Tensor) -> dict[str, tf.Tensor]:
    return {
        "fake_logits": tf.reduce_mean(logits),
        "fake_accuracy": tf.reduce_mean(tf.cast(logits < 0, tf.float32)),
    }


def real_metrics(
    logits: tf.Tensor, r1: tf.Tensor | float, r1_gamma: float
) -> dict[str, tf.Tensor]:
    return {
        "real_logits": tf.reduce_mean(logits),
        "real_accuracy": tf.reduce_mean(tf.cast(logits > 0, tf.float32)),
        "r1": r1,
        "r1_weighted": r1_gamma * r1,
    }


class RunningMean(keras.metrics.Metric):
    """The mean of a metric since its last reset.

    Unlike `keras.metrics.Mean`, it expects the same value on every replica. Its
    variables are mirrored, so that one process may save them alone. Those of `Mean` are
    summed over all processes whenever they are read.
    """

    def __init__(self, name: str):
        super().__init__(name=name, dtype="float32")
        self.total = keras.Variable(0.0, dtype=self.dtype, trainable=False)
        self.count = keras.Variable(0.0, dtype=self.dtype, trainable=False)

    def update_state(self, value: tf.Tensor) -> None:
        self.total.assign_add(value)
        self.count.assign_add(1.0)

    def result(self) -> tf.Tensor:
        return keras.ops.divide_no_nan(self.total, self.count)


class ProgressBar(keras.callbacks.ProgbarLogger):
    """Keras' progress bar, with `SHOWN_BY_FIT` only out of `METRICS`.

    `fit` returns the others in its history, and passes them to callbacks.
    """

    async_safe = True  # as Keras takes its own bar to be

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        super().on_train_batch_end(batch, _shown(logs))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        super().on_epoch_end(epoch, _shown(logs))


class ImageTrainer(keras.Model):
    """A model whose `fit` takes images: it looks at the first batch before it starts.

    Subclasses have the attribute `image_size`. Their steps return `track(values)`.
    """

    def __init__(self, **kwargs: Any):
        if keras.backend.backend() != "tensorflow":
            raise RuntimeError(
                "LadaGAN needs KERAS_BACKEND=tensorflow. Its networks do not"
            )
        super().__init__(**{"dtype": "float32", **kwargs})
        if self.dtype_policy.name != "float32":
            raise ValueError(
                f"dtype={self.dtype_policy.name}: give it to the networks, or "
                "precision= to from_preset"
            )
        self.trackers = {name: RunningMean(name) for name in METRICS}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self.trackers.values())

    def track(self, values: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Update the running means. Return a step's own value of each of `METRICS`."""
        for name, value in values.items():
            self.trackers[name].update_state(value)
        return {name: tf.convert_to_tensor(values.get(name, 0.0)) for name in METRICS}

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Train on images (B, size, size, 3) in [-1, 1], see `keras.Model.fit`.

        Args:
            x: arrays, `tf.data.Dataset`, or another source of batches. Labels are
                ignored.
            **kwargs: the other arguments of `keras.Model.fit`.

        Raises:
            ValueError: if the first batch has another shape, dtype or range.
        """
        x, first = _with_first_batch(x)
        self._check(first)
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = keras.tree.flatten(callbacks) if callbacks else []
            if not any(isinstance(c, keras.callbacks.ProgbarLogger) for c in callbacks):
                callbacks.append(ProgressBar())
        with warnings.catch_warnings():
            if "shuffle" not in kwargs:  # Keras' default is for arrays alone
                warnings.filterwarnings("ignore", "`shuffle=True` was passed")
            return super().fit(x, y, batch_size, epochs, verbose, callbacks, **kwargs)

    def train_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Run one training step, see `keras.Model.train_on_batch` and `fit`."""
        self._check(x)
        return super().train_on_batch(x, *args, **kwargs)

    def save(self, filepath: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Save the model, see `keras.Model.save`. HDF5 files have no optimizers."""
        if str(filepath).endswith((".h5", ".hdf5")):
            kwargs = {"include_optimizer": False, **kwargs}
        super().save(filepath, *args, **kwargs)

    def _check(self, batch):
        images, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
        if isinstance(images, tf.distribute.DistributedValues):
            images = images.values[0]
        if images is not None:
            check_images(images, self.image_size)
            check_range(images)


def _shown(logs):
    hidden = set(METRICS) - set(SHOWN_BY_FIT)
    return {name: value for name, value in (logs or {}).items() if name not in hidden}


def _with_first_batch(data):
    """Return data for `fit`, from which nothing was taken, and its first batch."""
    if isinstance(data, types.GeneratorType):
        first = list(itertools.islice(data, 1))
        return (batch for batch in itertools.chain(first, data)), *(first or [None])
    if hasattr(data, "shape"):
        return data, data[:64]
    if data is None or isinstance(data, (dict, list, tuple)):
        return data, data  # the check refuses all but None
    return data, next(iter(data), None)
