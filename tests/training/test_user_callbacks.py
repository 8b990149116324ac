"""User callbacks in `train`, and loggers of other projects."""

import json

import keras
import numpy as np
import pytest

from lada_tf.data import open_source
from lada_tf.errors import UserError
from lada_tf.io import read_json
from lada_tf.models import get_preset
from lada_tf.training import trainer
from lada_tf.training.configuration import TrainingOptions
from lada_tf.training.user_callbacks import check_loggers, make_callback
from tests.small import SMALL

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("eagerly")]
OPTIONS = TrainingOptions(log_images=8, sample_images=64, checkpoint_images=16)


def train(run_dir, total_images=32, **arguments):
    preset = get_preset("tiny", **SMALL, total_images=total_images)
    source = open_source("portraits", 32)
    return trainer.train(preset, source, run_dir, OPTIONS, **arguments)


class Recorder(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.epochs, self.batches, self.ends = [], 0, 0

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append((epoch, logs["d_loss"]))

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1
        assert np.isfinite(logs["loss"])

    def on_train_end(self, logs=None):
        self.ends += 1


def test_a_callback_sees_each_log_line_and_changes_nothing(tmp_path):
    recorder = Recorder()
    train(tmp_path / "with", callbacks=[recorder])
    train(tmp_path / "without")
    text = (tmp_path / "with/metrics.jsonl").read_text()
    assert text == (tmp_path / "without/metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert recorder.epochs == [(i, line["d_loss"]) for i, line in enumerate(lines)]
    assert (len(lines), recorder.ends) == (4, 1)
    assert 4 <= recorder.batches <= 8


def test_callbacks_of_keras(tmp_path):
    """A schedule changes both learning rates; a callback can stop the run."""

    class StopAfter16(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    csv = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    gan = train(tmp_path / "run", callbacks=[schedule, csv, StopAfter16()])
    assert gan.images_seen == 16
    assert (tmp_path / "run/checkpoints/images-0000000016").is_dir()
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 3
    rates = [float(o.learning_rate) for o in (gan.g_optimizer, gan.d_optimizer)]
    preset = get_preset("tiny")
    halved = np.array([preset.g_learning_rate, preset.d_learning_rate]) / 4
    np.testing.assert_allclose(rates, halved)


def test_callbacks_by_name():
    name = "keras.callbacks:TerminateOnNaN"
    assert isinstance(make_callback(name), keras.callbacks.TerminateOnNaN)
    for bad in ("keras.callbacks", "absent:Class", "keras:absent", ":x", "math:sqrt2"):
        with pytest.raises(UserError, match="cannot be imported"):
            make_callback(bad)
    with pytest.raises(UserError, match="OrderedDict: "):
        make_callback("collections:OrderedDict")


def test_loggers_are_checked():
    check_loggers(["tensorboard"])
    check_loggers([])
    with pytest.raises(UserError, match="logger=nope: expected"):
        check_loggers(["nope"])


def test_without_tensorboard(tmp_path):
    train(tmp_path / "run", total_images=8, loggers=())
    assert not list((tmp_path / "run/logs").iterdir())


def test_wandb_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="make test-loggers installs it")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = tmp_path / "run"
    train(run, loggers=("wandb",))
    first = read_json(run / "logs/wandb.json")
    assert len(list((run / "wandb").glob("offline-run-*/*.wandb"))) == 1
    train(run, total_images=48, loggers=("wandb",))
    assert read_json(run / "logs/wandb.json") == first  # continues the record
    names = [path.name for path in (run / "wandb").glob("offline-run-*/*.wandb")]
    assert set(names) == {f"run-{first['id']}.wandb"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's database
def test_mlflow_store(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="make test-loggers installs it")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)  # of the artifacts
    run = tmp_path / "run"
    train(run, loggers=("mlflow",))
    train(run, total_images=48, loggers=("mlflow",))
    [record] = mlflow.search_runs(output_format="list")
    assert record.info.status == "FINISHED"
    assert record.data.params["batch_size"] == "4"
    history = mlflow.MlflowClient().get_metric_history(record.info.run_id, "d_loss")
    lines = (run / "metrics.jsonl").read_text().splitlines()
    expected = [json.loads(line)["d_loss"] for line in lines]
    np.testing.assert_allclose([point.value for point in history], expected)
