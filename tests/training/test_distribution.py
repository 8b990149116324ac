"""More than one device: the same global batch is the same step."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from lada_tf.data import open_source
from lada_tf.errors import UserError
from lada_tf.training.distribution import check_batch_size, make_strategy
from tests.training.train_on_replicas import train


@pytest.fixture(scope="module")
def one_device():
    return train(tf.distribute.get_strategy(), open_source("portraits", 32))


def on_replicas(path, replicas, sync_batch_norm="true"):
    command = [sys.executable, "-m", "tests.training.train_on_replicas"]
    subprocess.run([*command, str(replicas), sync_batch_norm, path], check=True)
    return np.load(path)


@pytest.mark.parametrize("replicas", [2, 4])
def test_replicas_make_the_steps_of_one_device(one_device, replicas, tmp_path):
    weights, metrics, images_seen = one_device
    several = on_replicas(tmp_path / "result.npz", replicas)
    assert several["images_seen"] == images_seen == 160
    np.testing.assert_allclose(several["metrics"][0], metrics[0], rtol=1e-5)
    # Twenty steps multiply the rounding of the first.
    np.testing.assert_allclose(several["weights"], weights, atol=1e-4)


def test_without_synchronization_each_replica_has_its_own_statistics(
    one_device, tmp_path
):
    weights, metrics, _ = one_device
    apart = on_replicas(tmp_path / "result.npz", 2, sync_batch_norm="false")
    assert np.abs(apart["metrics"][0] - metrics[0]).max() > 0.01
    assert np.abs(apart["weights"] - weights).max() > 0.01


def test_bad_clusters_and_batches_are_named(monkeypatch):
    with pytest.raises(UserError, match=r"--batch_size=16 cannot be shared .* 3 repl"):
        check_batch_size(16, accumulate=1, replicas=3)
    with pytest.raises(UserError, match="--accumulate=5"):
        check_batch_size(16, accumulate=5, replicas=1)
    for name in ("TF_CONFIG", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    for text in ("", "{", '{"cluster": {}}', "[1]"):
        monkeypatch.setenv("TF_CONFIG", text)
        with pytest.raises(UserError, match="set TF_CONFIG to JSON"):
            make_strategy("multi_worker")
    for cluster in ("slurm", "kubernetes"):
        with pytest.raises(UserError, match=f"--cluster={cluster}"):
            make_strategy("multi_worker", cluster)
    with pytest.raises(UserError, match="--strategy=tpu: no TPU found"):
        make_strategy("tpu")
