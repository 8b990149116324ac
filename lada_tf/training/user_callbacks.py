"""The user's Keras callbacks in `lada_tf.train`, and loggers of other projects.

Batch hooks run before and after each call of the training loop, which runs several
steps. An epoch is the interval between two log lines. With several workers, loggers run
on the chief only, and `train` refuses callbacks.
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras

from lada_tf.errors import UserError
from lada_tf.evaluation.callback import IntervalCallback
from lada_tf.io import read_json, write_json
from lada_tf.models.fit_callbacks import prepared
from lada_tf.training.run_directory import RunDirectory
from lada_tf.training.run_log import RunLog

LOGGERS = ("tensorboard", "wandb", "mlflow")


class UserCallbacks(IntervalCallback):
    """Run Keras callbacks at the hooks of `fit`.

    An epoch ends with each log line. Its logs are the metrics of that line, and the
    evaluations since the previous line.

    Args:
        callbacks: the callbacks.
        log: the log of the run. Its own callbacks must write before this one.
        interval: number of images per epoch.
    """

    def __init__(
        self,
        callbacks: Sequence[keras.callbacks.Callback],
        log: RunLog,
        interval: int,
    ):
        super().__init__(interval)
        self._callbacks = list(callbacks)
        self._log = log

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._list = keras.callbacks.CallbackList(
            prepared(self._callbacks), model=self.model
        )
        self._list.on_train_begin()
        self._is_new_epoch = True

    def on_train_batch_begin(self, batch, logs=None):
        if self._is_new_epoch:
            self._list.on_epoch_begin(self.model.images_seen // self.interval)
        self._is_new_epoch = False
        self._list.on_train_batch_begin(batch)

    def on_train_batch_end(self, batch, logs=None):
        self._list.on_train_batch_end(batch, dict(logs))
        super().on_train_batch_end(batch, logs)

    def act(self, images_seen):
        self._list.on_epoch_end(images_seen // self.interval - 1, self._log.take_new())
        self._is_new_epoch = True

    def on_train_end(self, logs=None):
        self._list.on_train_end(logs)


def check_loggers(names: Sequence[str]) -> None:
    """Check that loggers exist and that their packages are installed.

    Raises:
        UserError: if a logger is unknown or its package is missing.
    """
    for name in names:
        if name not in LOGGERS:
            raise UserError(f"logger={name}: expected one of {', '.join(LOGGERS)}")
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UserError(
                f"logger={name}: {error}. Run `pip install 'lada_tf[{name}]'`"
            ) from error


def make_callback(name: str) -> keras.callbacks.Callback:
    """Import a class or function by its name `module:NAME`, and call it.

    The module can be in the current directory.

    Raises:
        UserError: if there is no such object, or it does not return a Keras callback.
    """
    module, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        make = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"callback={name}: cannot be imported ({error}). Expected module:Class"
        ) from error
    callback = make() if callable(make) else None
    if not isinstance(callback, keras.callbacks.Callback):
        raise UserError(f"callback={name}: is not a keras.callbacks.Callback")
    return callback


@contextlib.contextmanager
def open_loggers(
    names: Sequence[str], directory: RunDirectory, settings: dict
) -> Iterator[list[keras.callbacks.Callback]]:
    """Start the loggers of other projects and yield their Keras callbacks.

    Each logger has one record per run, which a resumed run continues. A file in logs/
    stores the ID of the record.

    Args:
        names: some of `LOGGERS`.
        directory: the run directory.
        settings: settings of the run, for a new record.
    """
    openers = {"wandb": _wandb, "mlflow": _mlflow}
    with contextlib.ExitStack() as stack:
        callbacks = []
        for name in names:
            if name in openers:
                file = directory.logs / f"{name}.json"
                known = read_json(file, {"id": str})["id"] if file.exists() else None
                opened = openers[name](directory.path, known, settings)
                record, callback = stack.enter_context(opened)
                write_json(file, {"id": record})
                callbacks.append(callback)
        yield callbacks


@contextlib.contextmanager
def _wandb(path: Path, record: str | None, settings: dict) -> Iterator[tuple]:
    import wandb
    from wandb.integration.keras import WandbMetricsLogger

    with wandb.init(
        id=record, resume="allow", dir=path, name=path.name, config=settings
    ) as run:
        yield run.id, WandbMetricsLogger()


@contextlib.contextmanager
def _mlflow(path: Path, record: str | None, settings: dict) -> Iterator[tuple]:
    import mlflow
    from mlflow.tensorflow import MlflowCallback

    name = None if record else path.name
    with mlflow.start_run(run_id=record, run_name=name) as run:
        if not record:
            mlflow.log_params(settings)
        yield run.info.run_id, MlflowCallback()
