"""Update a network with gradients from several micro-batches and replicas.

The step also scales the loss for float16, and measures the gradients' norm.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from lada_tf import kernels

# Loss scaling halves the scale after each overflow. If it drops this far, the gradients
# are not finite for another reason.
MIN_LOSS_SCALE = 2.0**-20


def update_average(average: keras.Model, network: keras.Model, decay: float) -> None:
    """Update the EMA of a network, including its batch-norm statistics."""
    kernels.move_averages(average.weights, network.weights, 1 - decay)


@dataclasses.dataclass(frozen=True)
class Shard:
    """A position among equal slices of the global batch."""

    index: int | tf.Tensor
    count: int

    def rows(self, draw: Callable, n: int | tf.Tensor) -> tf.Tensor:
        """Draw random numbers for the global batch, and return this shard's n rows.

        Args:
            draw: callable, number of rows → tensor with that many rows.
            n: int or int scalar tensor, rows of this shard.
        """
        if self.count == 1:
            return draw(n)
        rows = draw(n * self.count)
        return tf.reshape(rows, (self.count, n, *rows.shape[1:]))[self.index]


class OptimizerStep:
    """Average a network's gradients over the global batch, then apply them once.

    Each micro-batch of each replica is one shard of the global batch. Every shard
    starts from the same seed state and takes its own rows of the random numbers. The
    step is therefore the same for any number of shards.

    Args:
        network: Keras model with the trainable variables to update.
        optimizer: Keras optimizer, built for these variables.
        seed_generator: `keras.random.SeedGenerator` of all random numbers in the step.
        num_micro_batches: int, micro-batches per replica.
    """

    def __init__(
        self,
        network: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        seed_generator: keras.random.SeedGenerator,
        num_micro_batches: int = 1,
    ):
        self.variables = network.trainable_variables
        self.optimizer = optimizer
        self.num_micro_batches = num_micro_batches
        context = tf.distribute.get_replica_context()
        self.num_replicas = context.num_replicas_in_sync
        self.replica = context.replica_id_in_sync_group if self.num_replicas > 1 else 0
        self.num_shards = self.num_replicas * num_micro_batches
        self.seed_state = seed_generator.state
        self.first_seed = tf.identity(self.seed_state.value)
        self.gradients: list[tf.Tensor] = []
        self.metrics: dict[str, list] = collections.defaultdict(list)

    def micro_batches(self, batch: tf.Tensor) -> Iterator[tuple[Shard, tf.Tensor]]:
        """Yield the shard and the rows of each micro-batch, in order.

        A micro-batch waits for the gradients of the one before it. Otherwise, the
        activations of all micro-batches would be in memory at once.
        """
        if self.num_shards > 1:
            batch = _divisible(batch, self.num_micro_batches)
        for i, rows in enumerate(tf.split(batch, self.num_micro_batches)):
            shard = Shard(self.replica * self.num_micro_batches + i, self.num_shards)
            with tf.control_dependencies(self.gradients):
                self.seed_state.assign(self.first_seed)
                yield shard, rows

    def differentiate(self, loss_function: Callable, *inputs) -> None:
        """Add the gradients of one loss.

        Args:
            loss_function: callable, inputs → loss, dict of scalar metrics. A metric
                that several losses return is the sum of their values.
            *inputs: arguments of the loss function.
        """
        # Two losses could run at once, but replicas must communicate in a fixed order.
        with tf.control_dependencies(self.gradients if self.num_replicas > 1 else []):
            with tf.GradientTape() as tape:
                loss, metrics = loss_function(*inputs)
                loss = self.optimizer.scale_loss(loss)
            gradients = tape.gradient(loss, self.variables)
        if self.gradients:
            pairs = zip(self.gradients, gradients, strict=True)
            gradients = [a + b for a, b in pairs]
        self.gradients = gradients
        for name, value in metrics.items():
            self.metrics[name].append(value)

    def apply(self, norm_name: str) -> dict[str, tf.Tensor]:
        """Apply the mean gradients.

        Args:
            norm_name: name of the metric for the gradients' global norm.

        Returns:
            The mean metrics of the global batch. The norm is 0 if loss scaling skipped
            the update, and NaN once the loss scale has reached `MIN_LOSS_SCALE`.
        """
        gradients = self._mean_over_shards(self.gradients)
        sums = tf.stack([tf.reduce_sum(tf.stack(v)) for v in self.metrics.values()])
        (means,) = self._mean_over_shards([sums])
        loss_scale = self.optimizer.scale_loss(tf.ones(()))
        norm = kernels.global_norm(gradients) / loss_scale
        # Keras sums over replicas again, so divide first.
        if self.num_replicas > 1:
            gradients = [gradient / self.num_replicas for gradient in gradients]
        with tf.control_dependencies([norm]):
            # All reads of the weights are finished: they can be updated in place.
            self.optimizer.apply(gradients, self.variables)
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            scale_exhausted = loss_scale <= MIN_LOSS_SCALE
            skipped = tf.where(scale_exhausted, float("nan"), 0.0)
            norm = tf.where(tf.math.is_finite(norm) & ~scale_exhausted, norm, skipped)
        metrics = dict(zip(self.metrics, tf.unstack(means), strict=True))
        return {**metrics, norm_name: norm}

    def _mean_over_shards(self, tensors):
        if self.num_replicas > 1:
            context = tf.distribute.get_replica_context()
            tensors = context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)
        if self.num_shards == 1:
            return tensors
        return [tensor / self.num_shards for tensor in tensors]


def indivisible_batch(num_micro_batches: int) -> str:
    """Return the message for a batch that does not split into micro-batches."""
    return (
        f"gradient_accumulation_steps={num_micro_batches} must divide the number of "
        "images in each batch, per replica. Leave out a smaller last batch with "
        "dataset.batch(n, drop_remainder=True)"
    )


def _divisible(batch, num_micro_batches):
    """Return the batch. Refuse it if it is empty or cannot be split evenly."""
    message = indivisible_batch(num_micro_batches)
    size = batch.shape[0]
    if size is None:
        size = tf.shape(batch)[0]
        is_valid = (size > 0) & (size % num_micro_batches == 0)
        with tf.control_dependencies([tf.debugging.Assert(is_valid, [message])]):
            return tf.identity(batch)
    if size == 0 or size % num_micro_batches:
        raise ValueError(f"{message} (here {size})")
    return batch
