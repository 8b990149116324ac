"""The user's Keras callbacks in `lada_tf.train`, and loggers of other projects.

They run after each call of the training loop, on the chief only. For them, an epoch is
the interval between two log lines.
"""

import contextlib
import importlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras

from lada_tf.errors import UserError
from lada_tf.evaluation.callback import IntervalCallback
from lada_tf.io import read_text, write_atomically
from lada_tf.training.run_directory import RunDirectory

LOGGERS = ("tensorboard", "wandb", "mlflow")


class UserCallbacks(IntervalCallback):
    """Run Keras callbacks at the hooks of `fit`.

    Args:
        callbacks: the callbacks.
        interval: number of images per epoch.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback], interval: int):
        super().__init__(interval)
        self._callbacks = list(callbacks)

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._list = keras.callbacks.CallbackList(self._callbacks, model=self.model)
        self._list.on_train_begin()
        self._list.on_epoch_begin(self.model.images_seen // self.interval)

    def on_train_batch_end(self, batch, logs=None):
        self._list.on_train_batch_end(batch, logs)
        super().on_train_batch_end(batch, logs)

    def act(self, images_seen):
        epoch = images_seen // self.interval
        values = {metric.name: float(metric.result()) for metric in self.model.metrics}
        self._list.on_epoch_end(epoch - 1, values)
        self._list.on_epoch_begin(epoch)

    def on_train_end(self, logs=None):
        self._list.on_train_end(logs)


def check_loggers(names: Sequence[str]) -> None:
    """Check that the packages of the loggers are installed.

    Raises:
        UserError: if one is missing.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UserError(
                f"logger={name}: {error}. Install it: pip install 'lada_tf[{name}]'"
            ) from error


def make_callback(name: str) -> keras.callbacks.Callback:
    """Import `module:Class`, or a function instead of a class, and call it.

    Raises:
        UserError: if there is no such object, or it returns no Keras callback.
    """
    module, _, attribute = name.partition(":")
    try:
        make = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"callback={name}: cannot be imported ({error}). Expected module:Class"
        ) from error
    callback = make() if callable(make) else make
    if not isinstance(callback, keras.callbacks.Callback):
        raise UserError(f"callback={name}: is not a Keras callback")
    return callback


@contextlib.contextmanager
def open_loggers(
    names: Sequence[str], directory: RunDirectory, settings: dict
) -> Iterator[list[keras.callbacks.Callback]]:
    """Start the loggers of other projects and yield their callbacks.

    A resumed run continues its record: the record's name is kept in the run directory.

    Args:
        names: of `LOGGERS`.
        directory: the run directory.
        settings: settings of the run, for the record.
    """
    openers = {"wandb": _open_wandb, "mlflow": _open_mlflow}
    with contextlib.ExitStack() as stack:
        callbacks = []
        for name in names:
            if name in openers:
                file = directory.logs / f"{name}.json"
                record = json.loads(read_text(file))["id"] if file.exists() else None
                record, callback = openers[name](
                    directory.path, record, settings, stack.push
                )
                write_atomically(file, json.dumps({"id": record}))
                callbacks.append(callback)
        yield callbacks


def _open_wandb(path: Path, record: str | None, settings: dict, at_exit: Callable):
    import wandb
    from wandb.integration.keras import WandbMetricsLogger

    run = wandb.init(
        id=record, resume="allow", dir=path, name=path.name, config=settings
    )
    at_exit(lambda kind, *_: run.finish(exit_code=1 if kind else 0))
    return run.id, WandbMetricsLogger()


def _open_mlflow(path: Path, record: str | None, settings: dict, at_exit: Callable):
    import mlflow
    from mlflow.tensorflow import MlflowCallback

    run = mlflow.start_run(run_id=record, run_name=None if record else path.name)
    mlflow.log_params({} if record else settings)
    at_exit(lambda kind, *_: mlflow.end_run("FAILED" if kind else "FINISHED"))
    return run.info.run_id, MlflowCallback()
