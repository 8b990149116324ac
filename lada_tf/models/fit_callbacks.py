"""Callbacks that `fit` adds, and checks of the user's callbacks."""

from typing import Any

import keras

from lada_tf.models.losses import METRICS

SHOWN_BY_FIT = ("d_loss", "g_loss", "r1", "real_accuracy")
# Metrics that callbacks with `mode="auto"` minimize.
MINIMIZED = ("kid", "fd", "d_loss", "g_loss", "d_total_loss")


class ProgressBar(keras.callbacks.ProgbarLogger):
    """Keras' progress bar, without the metrics that are not in `SHOWN_BY_FIT`.

    The history and other callbacks still have all metrics.
    """

    async_safe = True  # like Keras' own progress bar

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        super().on_train_batch_end(batch, _shown(logs))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        super().on_epoch_end(epoch, _shown(logs))


class CompleteLogs(keras.callbacks.Callback):
    """Add `loss`, `kid` and `fd` to the logs for the callbacks that follow."""

    async_safe = True

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if logs is not None:  # `TerminateOnNaN` reads `loss`
            logs["loss"] = logs["d_total_loss"] + logs["g_loss"]

    def on_test_end(self, logs: dict | None = None) -> None:
        if logs is not None:
            logs.update(self.model.distance_results())


def prepared(callbacks: Any, progress_bar: type | None = None) -> Any:
    """Check callbacks, and put `CompleteLogs` before them.

    Args:
        callbacks: as for `keras.Model.fit`.
        progress_bar: class of a callback to add if there is no progress bar.

    Raises:
        ValueError: if a callback does not suit a GAN.
    """
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks
    callbacks = keras.tree.flatten(callbacks) if callbacks else []
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.SwapEMAWeights):
            raise ValueError(
                "callbacks: SwapEMAWeights does not suit LadaGAN. Leave it out: "
                "evaluate and predict use ema_generator already"
            )
        if hasattr(callback, "monitor") and hasattr(callback, "mode"):
            _set_mode(callback)
    if progress_bar and not any(
        isinstance(callback, keras.callbacks.ProgbarLogger) for callback in callbacks
    ):
        callbacks.append(progress_bar())
    return [CompleteLogs(), *callbacks]


def _set_mode(callback):
    """Replace `mode="auto"`. Keras knows the direction of its own metrics only."""
    name = callback.monitor.removeprefix("val_")
    where = f"{type(callback).__name__}(monitor={callback.monitor!r})"
    if name == "loss" and getattr(callback, "save_best_only", True):
        raise ValueError(
            f"{where}: a GAN has no single loss that falls as it improves. Monitor "
            "'val_kid' or 'val_fd', with validation_data"
        )
    if name in MINIMIZED and callback.mode == "auto":
        callback.mode = "min"
    elif name != "loss" and callback.mode == "auto":
        raise ValueError(f"{where}: pass mode='min' or mode='max'")


def _shown(logs):
    hidden = {*METRICS, "loss"} - set(SHOWN_BY_FIT)
    return {name: value for name, value in (logs or {}).items() if name not in hidden}
