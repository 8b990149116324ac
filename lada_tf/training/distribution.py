"""More than one device: the strategies of `tf.distribute`, and each one's data.

The same global batch on any number of replicas is the same step, up to rounding: every
replica sees its rows of the batch, in order, and draws the random numbers of just those
rows (`lada_tf.models.optimizer_step`).
"""

import json
import os

import tensorflow as tf

from lada_tf.data import ImageSource, batches
from lada_tf.errors import UserError

STRATEGIES = ("none", "mirrored", "multi_worker", "tpu")
CLUSTERS = ("tf_config", "slurm", "kubernetes")


def make_strategy(
    name: str, cluster: str = "tf_config", virtual_cpus: int = 1
) -> tf.distribute.Strategy:
    """The strategy of that name. To be made before TensorFlow runs anything.

    Args:
        name: `none` for one device; `mirrored` for all GPUs of this machine (without
            any, its logical CPU devices); `multi_worker` for the GPUs of several
            processes; `tpu`.
        virtual_cpus: how many devices to take the processor for, to try `mirrored`
            where there are no GPUs.
        cluster: how a worker finds the others: from the variable `TF_CONFIG`, or by
            the resolvers of `tf.distribute` for Slurm and Kubernetes.

    Raises:
        UserError: if the cluster or the TPU is not there.
    """
    if virtual_cpus > 1:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * virtual_cpus,
        )
    if name == "none":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        devices = [device.name for device in tf.config.list_logical_devices(kind)]
        return tf.distribute.MirroredStrategy(devices)
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy(_resolver(cluster))
    return _tpu_strategy()


def count_workers(strategy: tf.distribute.Strategy) -> int:
    """Processes that train together; 1 unless the strategy is `multi_worker`."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return 1
    return max(1, len(resolver.cluster_spec().as_dict().get("worker", ())))


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes the run folder."""
    return count_workers(strategy) == 1 or strategy.cluster_resolver.task_id == 0


def distributed_batches(
    strategy: tf.distribute.Strategy,
    source: ImageSource,
    batch_size: int,
    **options,
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """`lada_tf.data.batches` of a global batch size, for the replicas of a strategy.

    Raises:
        UserError: if the replicas cannot share the batch evenly.
    """
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return batches(source, batch_size, **options)

    def of_worker(context):
        workers = context.num_input_pipelines
        images = batches(
            source,
            batch_size // workers,
            shard_index=context.input_pipeline_id,
            num_shards=workers,
            **options,
        )
        local, size = replicas // workers, source.image_size
        each = (local, batch_size // replicas, size, size, 3)
        return images.map(lambda rows: tf.reshape(rows, each)).unbatch()

    return strategy.distribute_datasets_from_function(of_worker)


def check_batch_size(
    batch_size: int, gradient_accumulation_steps: int, replicas: int
) -> None:
    """Raises UserError unless the batch has that many equal parts."""
    if batch_size % (gradient_accumulation_steps * replicas):
        raise UserError(
            f"--batch_size={batch_size} cannot be shared evenly by {replicas} "
            f"replica(s) with --gradient_accumulation_steps={gradient_accumulation_steps}"
        )


def check_same_state(strategy: tf.distribute.Strategy, steps: int) -> None:
    """Raises UserError unless every worker has restored the same step."""
    if count_workers(strategy) == 1:
        return

    def extremes():
        context = tf.distribute.get_replica_context()
        mine = tf.one_hot(
            context.replica_id_in_sync_group,
            context.num_replicas_in_sync,
            on_value=tf.constant(steps, tf.int64),
            off_value=tf.constant(0, tf.int64),
        )
        return context.all_reduce(tf.distribute.ReduceOp.SUM, mine)

    every = strategy.experimental_local_results(strategy.run(tf.function(extremes)))
    if len(set(every[0].numpy().tolist())) > 1:
        raise UserError(
            "the workers do not see the same checkpoints: --run_dir has to be on "
            "storage that all of them share"
        )


def _resolver(cluster: str) -> tf.distribute.cluster_resolver.ClusterResolver:
    if cluster == "tf_config":
        try:
            json.loads(os.environ.get("TF_CONFIG", ""))["task"]["index"]
        except (ValueError, KeyError, TypeError):
            raise UserError(
                "--strategy=multi_worker: set TF_CONFIG to JSON with the cluster's "
                "workers and this one's task, or give --cluster=slurm or kubernetes"
            ) from None
        return tf.distribute.cluster_resolver.TFConfigClusterResolver()
    try:
        if cluster == "slurm":
            return tf.distribute.cluster_resolver.SlurmClusterResolver()
        return tf.distribute.cluster_resolver.KubernetesClusterResolver()
    except Exception as error:  # the kubernetes package has errors of its own
        raise UserError(f"--cluster={cluster}: none found ({error})") from error


def _tpu_strategy() -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise UserError(f"--strategy=tpu: no TPU found ({error})") from error
    return tf.distribute.TPUStrategy(resolver)
