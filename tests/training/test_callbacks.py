"""Signals, and when checkpoints are saved."""

import errno
import signal
import sys
import threading
import types

import pytest

from lada_tf.training import callbacks
from lada_tf.training.callbacks import (
    CheckpointEvery,
    ProgressBar,
    StopSignal,
    unbreakable_streams,
)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def handlers():
    return [signal.getsignal(number) for number in SIGNALS]


@pytest.fixture(autouse=True)
def default_handlers():
    """Set Python's handlers, since a shell ignores signals in the background."""
    before = handlers()
    for number in SIGNALS:
        interrupts = number == signal.SIGINT
        signal.signal(
            number, signal.default_int_handler if interrupts else signal.SIG_DFL
        )
    yield
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def saved():
    """Numbers of images at which a checkpoint was saved."""
    return []


def checkpoint_every(interval, stop, saved):
    model = types.SimpleNamespace(images_seen=0)
    checkpoints = types.SimpleNamespace(save=lambda: saved.append(model.images_seen))
    callback = CheckpointEvery(checkpoints, interval, stop)
    callback.set_model(model)
    callback.on_train_begin()
    return callback, model


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_training_after_the_step_with_a_checkpoint(number, saved, capfd):
    before = handlers()
    with StopSignal() as stop:
        callback, model = checkpoint_every(100, stop, saved)
        model.images_seen = 4
        callback.on_train_batch_end(0)
        assert saved == []
        signal.raise_signal(number)
        if number != signal.SIGINT:
            signal.raise_signal(number)  # shell and kernel may both send SIGHUP
        model.images_seen = 8
        with pytest.raises(SystemExit) as end:
            callback.on_train_batch_end(1)
    assert end.value.code == 128 + number
    assert saved == [8]
    assert "\nstopping after this step" in capfd.readouterr().err
    assert handlers() == before


def test_no_count_of_images_is_saved_twice(saved):
    """An interval and a signal, or an interval and the end."""
    with StopSignal() as stop:
        callback, model = checkpoint_every(8, stop, saved)
        model.images_seen = 8
        callback.on_train_batch_end(0)
        callback.on_train_end()
        assert saved == [8]
        model.images_seen = 16
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(SystemExit):
            callback.on_train_batch_end(1)
    assert saved == [8, 16]


@pytest.mark.parametrize("error", [errno.EPIPE, errno.EIO, None])
def test_training_goes_on_without_a_reader(error, monkeypatch):
    """`| head`, a terminal that is gone, and a closed file."""

    def fail(*_):
        raise OSError(error, "gone") if error else ValueError("closed file")

    gone = types.SimpleNamespace(write=fail, flush=fail, isatty=lambda: False)
    monkeypatch.setattr("sys.stderr", gone)
    monkeypatch.setattr("sys.stdout", gone)
    with unbreakable_streams():
        print("resuming")  # as callbacks of Keras do with verbose=1
        bar = ProgressBar(8)
        bar.set_model(types.SimpleNamespace(images_seen=0))
        bar.on_train_begin()
        bar.model.images_seen = 8
        bar.on_train_batch_end(0, {"d_loss": 1.0, "g_loss": 1.0})
        bar.close()
    assert sys.stdout is gone


def test_a_second_interrupt_stops_at_once():
    with StopSignal():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_checkpoint_is_saved_every_ten_minutes(saved, monkeypatch):
    clock = types.SimpleNamespace(now=0)
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: clock.now)
    callback, model = checkpoint_every(100, StopSignal(), saved)
    for now, images in ((599, 10), (601, 20), (1200, 30), (1201, 100), (1900, 110)):
        clock.now, model.images_seen = now, images
        callback.on_train_batch_end(0)
    assert saved == [20, 100, 110]


def test_handlers_are_restored_after_an_error():
    before = handlers()
    with pytest.raises(ZeroDivisionError):
        fail_in(StopSignal())
    assert handlers() == before


def fail_in(stop):
    with stop:
        assert handlers() == [stop._handler] * 3
        raise ZeroDivisionError


def test_ignored_signals_stay_ignored():
    before = handlers()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with StopSignal() as stop:
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before[-1])
    with StopSignal(ignore=True) as other:
        for number in SIGNALS:
            signal.raise_signal(number)
    assert stop.number is other.number is None
    assert handlers() == before


def test_other_threads_leave_the_handlers_alone():
    before = handlers()
    inside = []

    def enter():
        with StopSignal():
            inside.append(handlers())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert inside == [before]


def test_the_progress_bar_shows_the_last_measurement(capfd):
    bar = ProgressBar(8)
    values = bar.values = {}
    bar.set_model(types.SimpleNamespace(images_seen=0))
    bar.on_train_begin()
    logs = {"d_loss": 1.0, "g_loss": 2.0}
    bar.on_train_batch_end(0, logs)
    assert bar._bar.postfix == "d_loss=1.000, g_loss=2.000"
    values["kid"] = 0.0125
    bar.on_train_batch_end(1, logs)
    assert bar._bar.postfix == "d_loss=1.000, g_loss=2.000, kid=0.0125"
    bar.close()


def test_the_time_left_does_not_include_the_compilation(capfd, monkeypatch):
    clock = types.SimpleNamespace(now=0.0)
    monkeypatch.setattr("tqdm.std.time", lambda: clock.now)
    bar = ProgressBar(100)
    bar.set_model(types.SimpleNamespace(images_seen=0))
    bar.on_train_begin()
    for clock.now, bar.model.images_seen in ((60.0, 4), (60.5, 8), (61.0, 12)):
        bar.on_train_batch_end(0, {"d_loss": 1.0, "g_loss": 1.0})
    assert bar._bar.format_dict["rate"] in (None, 8.0)
    assert bar._bar.format_dict["elapsed"] == 1.0
    bar.close()
