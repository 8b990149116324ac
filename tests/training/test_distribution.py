"""Several devices: the same global batch gives the same step."""

import json
import os
import types

import numpy as np
import pytest
import tensorflow as tf

from experiments.replicas import in_process
from lada_tf.errors import UserError
from lada_tf.training.distribution import (
    _resolver,
    check_batch_size,
    check_jit_compile,
    count_workers,
    describe_devices,
    is_chief,
    make_strategy,
)


@pytest.mark.slow
def test_replicas_make_the_steps_of_one_device():
    """With lazy R1, whose steps with and without R1 are separate graphs."""
    start, expected, metrics = in_process(1, True, 2)
    _, weights, first = in_process(2, True, 2)
    np.testing.assert_allclose(first, metrics, rtol=1e-5)
    # Rounding errors grow where they change the sign at a LeakyReLU.
    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-4)
    assert np.abs(expected - start).max() > 0.1


def test_bad_clusters_and_batches_are_named(monkeypatch):
    with pytest.raises(UserError, match=r"batch_size=16 .* 3 repl"):
        check_batch_size(16, gradient_accumulation_steps=1, replicas=3)
    with pytest.raises(UserError, match="gradient_accumulation_steps=5"):
        check_batch_size(16, gradient_accumulation_steps=5, replicas=1)
    for name in ("TF_CONFIG", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="TF_CONFIG: 'cluster' is missing"):
        make_strategy("multi_worker")
    for cluster in ("slurm", "kubernetes"):
        with pytest.raises(UserError, match=f"cluster={cluster}"):
            make_strategy("multi_worker", cluster)
    with pytest.raises(UserError, match="strategy=tpu: no TPU found"):
        make_strategy("tpu")


A, B, C = "a:1", "[::1]:65535", "c.svc:23"
TWO_WORKERS = {"worker": [A, B]}
WITH_CHIEF = {"chief": [A], "worker": [B, C]}


def tf_config(cluster, task_type="worker", index=0):
    task = {"type": task_type, "index": index}
    return json.dumps({"cluster": cluster, "task": task})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "Expecting property name"),
        ("[1]", "'cluster' is missing"),
        (tf_config([A]), "'cluster' is missing"),
        (json.dumps({"cluster": TWO_WORKERS}), "'task' is missing"),
        (tf_config(TWO_WORKERS, index=2), "exceeds the maximum id"),
        (tf_config(TWO_WORKERS, index=-1), "must be an integer"),
        (tf_config(TWO_WORKERS, index=None), "must be an integer"),
        (tf_config(TWO_WORKERS, None), "must be chief or worker"),
        (tf_config(TWO_WORKERS, "chief"), "not found in cluster_spec"),
        (tf_config({**TWO_WORKERS, "evaluator": [C]}, "evaluator"), "must be chief or"),
        (tf_config({"worker": [A], "master": [B]}), "Disallowed task type"),
        (tf_config({"worker": [A], "chief": [B, C]}), "at most one 'chief'"),
        (tf_config({"worker": A}), "must be a list"),
        (tf_config({"worker": []}), "must be a list"),
        (tf_config({"worker": ["a"]}), "'a' must be host:port"),
        (tf_config({"worker": ["a:65536"]}), "must be host:port"),
        (tf_config({"worker": [A, A]}), "must be host:port of one task"),
        (tf_config({"worker": [[A]]}), "must be host:port"),
    ],
)
def test_a_malformed_tf_config_is_one_line(monkeypatch, text, problem):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=f"TF_CONFIG: .*{problem}"):
        make_strategy("multi_worker")


@pytest.mark.parametrize(
    ("cluster", "task_type", "index", "chief", "workers"),
    [
        (TWO_WORKERS, "worker", 0, True, 2),
        (TWO_WORKERS, "worker", 1, False, 2),
        (WITH_CHIEF, "chief", 0, True, 3),
        (WITH_CHIEF, "worker", 0, False, 3),
        (WITH_CHIEF, "worker", "1", False, 3),  # TensorFlow accepts text
        ({"chief": [A]}, "chief", 0, True, 1),
    ],
)
def test_one_worker_is_the_chief(
    monkeypatch, cluster, task_type, index, chief, workers
):
    monkeypatch.setenv("TF_CONFIG", tf_config(cluster, task_type, index))
    strategy = types.SimpleNamespace(cluster_resolver=_resolver("tf_config"))
    assert is_chief(strategy) == chief
    assert count_workers(strategy) == workers


def test_xla_does_not_compile_several_cpu_replicas():
    two_replicas = types.SimpleNamespace(num_replicas_in_sync=2)
    check_jit_compile(False, two_replicas)
    check_jit_compile(True, tf.distribute.get_strategy())
    with pytest.raises(UserError, match="jit_compile=True"):
        check_jit_compile(True, two_replicas)


def test_devices_are_described():
    description = describe_devices(tf.distribute.get_strategy())
    assert description == f"the CPU ({os.cpu_count()} cores)"
