"""More than one device: the same global batch is the same step."""

import json

import numpy as np
import pytest

from experiments.replicas import in_process
from lada_tf.errors import UserError
from lada_tf.training.distribution import check_batch_size, make_strategy
from tests.runner import succeed


def test_replicas_make_the_steps_of_one_device():
    printed = succeed("experiments.replicas")
    lines = [json.loads(line) for line in printed.splitlines()]
    cases = [(line["replicas"], line["sync_batch_norm"]) for line in lines]
    assert cases == [(2, True), (4, True), (2, False)]
    *together, apart = lines
    for line in together:
        assert line["first_step"] < 1e-5
        # Rounding, and what becomes of it where it decides a LeakyReLU's sign.
        assert line["weights"] < 1e-4 < line["moved"] / 1000
    assert apart["first_step"] > 1e-3
    assert apart["weights"] > 1e-2


def test_replicas_make_lazy_r1_s_steps():
    _, expected, metrics = in_process(1, True, 2)
    _, weights, first = in_process(2, True, 2)
    np.testing.assert_allclose(first, metrics, rtol=1e-5)
    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-4)  # as above


def test_bad_clusters_and_batches_are_named(monkeypatch):
    with pytest.raises(UserError, match=r"--batch_size=16 cannot be shared .* 3 repl"):
        check_batch_size(16, gradient_accumulation_steps=1, replicas=3)
    with pytest.raises(UserError, match="--gradient_accumulation_steps=5"):
        check_batch_size(16, gradient_accumulation_steps=5, replicas=1)
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
