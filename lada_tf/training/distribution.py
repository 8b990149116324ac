"""Several devices: the strategies of `tf.distribute`, and each worker's data.

Up to rounding, a step does not depend on the number of replicas. Every replica gets its
own rows of the global batch, and draws the random numbers of these rows
(`lada_tf.models.optimizer_step`).
"""

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.distribute import multi_worker_util

from lada_tf.data import ImageSource, batches
from lada_tf.errors import UserError, WorkerLost
from lada_tf.runtime import split_cpu

STRATEGIES = ("none", "mirrored", "multi_worker", "tpu")
CLUSTERS = ("tf_config", "slurm", "kubernetes")
# TensorFlow's collectives raise one of these when another worker dies.
PEER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)
TF_CONFIG_EXAMPLE = (
    '{"cluster": {"worker": ["a:1234", "b:1234"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


def make_strategy(
    strategy: str, cluster: str = "tf_config", virtual_cpus: int = 1
) -> tf.distribute.Strategy:
    """Create a strategy. Call this before TensorFlow's first operation.

    Args:
        strategy: `"none"` for one device; `"mirrored"` for all GPUs of this machine, or
            its logical CPU devices if it has no GPU; `"multi_worker"` for the GPUs of
            several processes; `"tpu"`.
        cluster: how a worker finds the others: the environment variable `TF_CONFIG`,
            or TensorFlow's resolver for Slurm or Kubernetes.
        virtual_cpus: number of virtual devices to split the CPU into, to try
            `"mirrored"` without GPUs.

    Raises:
        UserError: if there is no such cluster or TPU, or TF_CONFIG is invalid.
        WorkerLost: if the workers cannot connect.
    """
    if virtual_cpus > 1:
        split_cpu(virtual_cpus)
    if strategy == "none":
        return tf.distribute.get_strategy()
    if strategy == "mirrored":
        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        devices = [device.name for device in tf.config.list_logical_devices(kind)]
        return tf.distribute.MirroredStrategy(devices)
    if strategy == "multi_worker":
        resolver = _resolver(cluster)
        try:
            return tf.distribute.MultiWorkerMirroredStrategy(resolver)
        except tf.errors.OpError as error:
            raise WorkerLost(
                f"strategy=multi_worker: cannot connect to the other workers: {error}"
            ) from error
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise UserError(
            f"strategy=tpu: no TPU found ({error}). Choose another strategy"
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def count_workers(strategy: tf.distribute.Strategy) -> int:
    """Return the number of processes: 1 unless the strategy is `multi_worker`."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return 1
    return multi_worker_util.worker_count(resolver.cluster_spec(), resolver.task_type)


@contextlib.contextmanager
def reporting_lost_workers(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Raise WorkerLost if an error in the body says that another worker is gone."""
    try:
        yield
    except PEER_ERRORS as error:
        if count_workers(strategy) == 1:
            raise
        raise WorkerLost(
            "another worker is gone. Restart all workers to resume from the last "
            f"checkpoint ({type(error).__name__})"
        ) from error


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Return True in the one process that writes the run directory.

    This is the task of type `chief`, or worker 0 of a cluster without one.
    """
    resolver = strategy.cluster_resolver
    return count_workers(strategy) == 1 or multi_worker_util.is_chief(
        resolver.cluster_spec(), resolver.task_type, resolver.task_id
    )


def distributed_batches(
    strategy: tf.distribute.Strategy,
    source: ImageSource,
    batch_size: int,
    **options: Any,
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """Return `lada_tf.data.batches`, split among the replicas of a strategy.

    Args:
        strategy: the strategy that trains.
        source, **options: see `lada_tf.data.batches`.
        batch_size: size of the global batch.
    """
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return batches(source, batch_size, **options)

    def worker_dataset(context):
        workers = context.num_input_pipelines
        images = batches(
            source,
            batch_size // workers,
            shard_index=context.input_pipeline_id,
            num_shards=workers,
            **options,
        )
        size = source.image_size
        shape = (replicas // workers, batch_size // replicas, size, size, 3)
        return images.map(lambda rows: tf.reshape(rows, shape)).unbatch()

    return strategy.distribute_datasets_from_function(worker_dataset)


def check_batch_size(
    batch_size: int, gradient_accumulation_steps: int, replicas: int
) -> None:
    """Raise a UserError unless the batch splits evenly."""
    if batch_size % (gradient_accumulation_steps * replicas):
        raise UserError(
            f"batch_size={batch_size} is not a multiple of "
            f"{replicas * gradient_accumulation_steps}: {replicas} replica(s) times "
            f"gradient_accumulation_steps={gradient_accumulation_steps}. Choose a "
            "multiple"
        )


def check_jit_compile(jit_compile: bool, strategy: tf.distribute.Strategy) -> None:
    """Raise a UserError if XLA cannot compile the step on these devices."""
    on_cpu = not tf.config.list_physical_devices("GPU")
    if jit_compile and on_cpu and strategy.num_replicas_in_sync > 1:
        raise UserError(
            "jit_compile=True: XLA does not support several CPU replicas. Leave it out"
        )


def describe_devices(strategy: tf.distribute.Strategy) -> str:
    """Return a phrase for the log, such as `"2 replicas on NVIDIA H100"`."""
    replicas = strategy.num_replicas_in_sync
    prefix = f"{replicas} replicas on " if replicas > 1 else ""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return f"{prefix}the CPU ({os.cpu_count()} cores)"
    details = tf.config.experimental.get_device_details(gpus[0])
    return prefix + details.get("device_name", "a GPU")


def check_same_state(strategy: tf.distribute.Strategy, state: int) -> None:
    """Raise a UserError unless all workers have the same state.

    Args:
        strategy: the strategy that trains.
        state: int64, the restored step, or a checksum of the initial weights.
    """
    if count_workers(strategy) == 1:
        return

    def all_states():
        context = tf.distribute.get_replica_context()
        replica, count = context.replica_id_in_sync_group, context.num_replicas_in_sync
        own_state = tf.one_hot(replica, count, dtype=tf.int64) * state
        return context.all_reduce(tf.distribute.ReduceOp.SUM, own_state)

    results = strategy.experimental_local_results(strategy.run(tf.function(all_states)))
    if len(set(results[0].numpy().tolist())) > 1:
        raise UserError(
            "run_dir: the workers found different checkpoints or initial weights. Use "
            "storage that all workers share, and the same init_from"
        )


def describe_peak_memory() -> str:
    """Return the most memory that this process has used, such as `"900 MiB (CPU)"`."""
    if tf.config.list_physical_devices("GPU"):
        peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
        return f"{peak / 2**20:,.0f} MiB per GPU"
    try:
        import resource
    except ImportError:  # Windows
        return "unknown"
    unit = 1 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return f"{peak / 2**20:,.0f} MiB on the CPU, including TensorFlow and the images"


def _resolver(cluster: str) -> tf.distribute.cluster_resolver.ClusterResolver:
    if cluster == "tf_config":
        text = os.environ.get("TF_CONFIG", "")
        try:
            _check_tf_config(json.loads(text or "{}"))
        except (ValueError, TypeError) as error:
            problem = str(error).rstrip(".")
            raise UserError(
                f"strategy=multi_worker: TF_CONFIG: {problem}. Set it to JSON such as "
                f"{TF_CONFIG_EXAMPLE}, or set cluster to slurm or kubernetes"
            ) from error
        return tf.distribute.cluster_resolver.TFConfigClusterResolver()
    try:
        if cluster == "slurm":
            return tf.distribute.cluster_resolver.SlurmClusterResolver()
        return tf.distribute.cluster_resolver.KubernetesClusterResolver()
    except Exception as error:  # the kubernetes package has its own exceptions
        raise UserError(f"cluster={cluster}: no cluster found ({error})") from error


def _check_tf_config(config: Any) -> None:
    """Raise ValueError if TF_CONFIG is invalid.

    TensorFlow checks the names of jobs and tasks, but not their addresses: it waits
    forever for a task with an invalid address.
    """
    for name in ("cluster", "task"):
        if not isinstance(config, dict) or not isinstance(config.get(name), dict):
            raise ValueError(f"{name!r} is missing")
    addresses = []
    for job, tasks in config["cluster"].items():
        if not isinstance(tasks, list) or not tasks:
            raise ValueError(f"cluster: {job!r} must be a list of host:port")
        addresses += tasks
    for address in addresses:
        port = re.fullmatch(r"\S+:(\d{1,5})", str(address))
        if not port or not 0 < int(port[1]) < 2**16 or addresses.count(address) > 1:
            raise ValueError(f"cluster: {address!r} must be host:port of one task")
    task_type, index = config["task"].get("type"), config["task"].get("index")
    if task_type not in ("chief", "worker"):
        raise ValueError(f"task: type {task_type!r} must be chief or worker")
    if not re.fullmatch(r"\d+", str(index)):
        raise ValueError(f"task: index {index!r} must be an integer of at least 0")
    # Raises ValueError for unknown jobs, or if the cluster does not have the task.
    multi_worker_util.is_chief(config["cluster"], task_type, int(index))
