"""More than one device: the same global batch is the same step."""

import os
import types

import numpy as np
import pytest
import tensorflow as tf

from experiments.replicas import in_process
from lada_tf.errors import UserError
from lada_tf.training.distribution import (
    check_batch_size,
    check_jit_compile,
    describe_devices,
    make_strategy,
)


@pytest.mark.slow
def test_replicas_make_the_steps_of_one_device():
    """With lazy R1, whose steps with and without R1 are separate graphs."""
    start, expected, metrics = in_process(1, True, 2)
    _, weights, first = in_process(2, True, 2)
    np.testing.assert_allclose(first, metrics, rtol=1e-5)
    # Rounding, and what becomes of it where it decides a LeakyReLU's sign.
    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-4)
    assert np.abs(expected - start).max() > 0.1


def test_bad_clusters_and_batches_are_named(monkeypatch):
    with pytest.raises(UserError, match=r"batch_size=16 .* 3 repl"):
        check_batch_size(16, gradient_accumulation_steps=1, replicas=3)
    with pytest.raises(UserError, match="gradient_accumulation_steps=5"):
        check_batch_size(16, gradient_accumulation_steps=5, replicas=1)
    for name in ("TF_CONFIG", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    for text in ("", "{", '{"cluster": {}}', "[1]"):
        monkeypatch.setenv("TF_CONFIG", text)
        with pytest.raises(UserError, match="TF_CONFIG is missing or invalid"):
            make_strategy("multi_worker")
    for cluster in ("slurm", "kubernetes"):
        with pytest.raises(UserError, match=f"cluster={cluster}"):
            make_strategy("multi_worker", cluster)
    with pytest.raises(UserError, match="strategy=tpu: no TPU found"):
        make_strategy("tpu")


def test_xla_does_not_compile_several_cpu_replicas():
    two_replicas = types.SimpleNamespace(num_replicas_in_sync=2)
    check_jit_compile(False, two_replicas)
    check_jit_compile(True, tf.distribute.get_strategy())
    with pytest.raises(UserError, match="jit_compile=True"):
        check_jit_compile(True, two_replicas)


def test_devices_are_described():
    description = describe_devices(tf.distribute.get_strategy())
    assert description == f"the CPU ({os.cpu_count()} cores)"
