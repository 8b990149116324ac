"""Optimizers, and one step: over micro-batches, over replicas, with a scaled loss."""

import collections
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from lada_tf import kernels
from lada_tf.models.networks import keras_defaults

# If the loss scale has dropped this far, overflow is not the cause.
MIN_LOSS_SCALE = 2.0**-20


def update_average(average: keras.Model, network: keras.Model, decay: float) -> None:
    """Update an average of a network, including its batch-norm statistics."""
    kernels.move_averages(average.weights, network.weights, 1 - decay)


@dataclasses.dataclass(frozen=True)
class Shard:
    """One of several equal slices of the global batch, in order."""

    index: int | tf.Tensor = 0
    count: int = 1

    def rows(self, draw: Callable, n: int | tf.Tensor) -> tf.Tensor:
        """Return this shard's n rows of the random numbers for the global batch.

        Args:
            draw: callable, number of rows → tensor with that many rows.
            n: int or int scalar tensor, rows of this shard.
        """
        if self.count == 1:
            return draw(n)
        rows = draw(n * self.count)
        return tf.reshape(rows, (self.count, n, *rows.shape[1:]))[self.index]


class Optimizers:
    """Both optimizers, in the form that Keras' callbacks expect of several.

    Attributes:
        optimizers: those of the generator and the discriminator, without the
            `LossScaleOptimizer` around them. Callbacks change each learning rate.
        iterations: variable, number of training steps.
    """

    name = "optimizers"
    built = True

    def __init__(
        self,
        g_optimizer: keras.optimizers.Optimizer,
        d_optimizer: keras.optimizers.Optimizer,
        iterations: keras.Variable,
    ):
        self._outer = (g_optimizer, d_optimizer)
        self.optimizers = [_unwrapped(optimizer) for optimizer in self._outer]
        self.iterations = iterations

    @property
    def variables(self) -> list[keras.Variable]:
        return [
            variable for optimizer in self._outer for variable in optimizer.variables
        ]

    @property
    def learning_rate(self) -> Any:
        """The generator's learning rate. Setting it scales both by one factor."""
        return self.optimizers[0].learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        g_optimizer, d_optimizer = self.optimizers
        before = float(g_optimizer.learning_rate)
        if before == 0:
            raise ValueError(
                "the generator's learning rate is 0: set g_optimizer.learning_rate and "
                "d_optimizer.learning_rate"
            )
        d_optimizer.learning_rate = float(d_optimizer.learning_rate) * value / before
        g_optimizer.learning_rate = value

    def get_config(self) -> dict:
        names = ("g_optimizer", "d_optimizer")
        return {
            name: keras.optimizers.serialize(optimizer)
            for name, optimizer in zip(names, self._outer, strict=True)
        }


def _unwrapped(optimizer):
    return getattr(optimizer, "inner_optimizer", optimizer)


def make_optimizer(
    name: str,
    optimizer: str | dict | keras.optimizers.Optimizer | None,
    network: keras.Model,
    learning_rate: float,
    betas: tuple[float, ...],
) -> keras.optimizers.Optimizer:
    """Return an optimizer, built for a network.

    Args:
        name: new name of the optimizer, for logs and the paths of its variables.
        optimizer: what `keras.optimizers.get` takes, or None for Adam.
        network: Keras model. If it computes in float16, the optimizer scales the loss.
        learning_rate: float, of the default Adam.
        betas: two floats, β₁ and β₂ of the default Adam.

    Raises:
        ValueError: if the optimizer averages weights.
    """
    with keras_defaults():  # the learning rate's dtype is `floatx`
        if optimizer is None:
            optimizer = kernels.FusedAdam(
                learning_rate, beta_1=betas[0], beta_2=betas[1]
            )
        built: Any = keras.optimizers.get(optimizer)
        scales = isinstance(built, keras.optimizers.LossScaleOptimizer)
        if network.compute_dtype == "float16" and not scales:
            built = keras.optimizers.LossScaleOptimizer(built)
        if _unwrapped(built).use_ema:
            raise ValueError(
                f"{name}: use_ema=True is not supported. ema_generator is the average "
                "of the generator, see ema_decay"
            )
        built.name = _unwrapped(built).name = name
        built.build(network.trainable_variables)
    return built


class OptimizerStep:
    """Average a network's gradients over the global batch, then apply them once.

    Every replica and every micro-batch sees its own shard of the batch. Every shard
    starts from the same seed state and takes its own rows of the random numbers, so the
    step equals that of a single device.

    Args:
        network: Keras model whose trainable variables are updated.
        optimizer: Keras optimizer, built for these variables.
        seed_generator: `keras.random.SeedGenerator` of all random draws.
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

        A micro-batch waits for the gradients of the one before it. Otherwise the
        activations of all of them would be in memory at once.
        """
        if self.num_shards > 1:
            _check_divisible(batch, self.num_micro_batches)
        for i, rows in enumerate(tf.split(batch, self.num_micro_batches)):
            shard = Shard(self.replica * self.num_micro_batches + i, self.num_shards)
            with tf.control_dependencies(self.gradients):
                self.seed_state.assign(self.first_seed)
                yield shard, rows

    def differentiate(self, loss_function: Callable, *inputs) -> None:
        """Add the gradients of one loss.

        Args:
            loss_function: callable, inputs → loss, dict of scalar metrics. Metrics of
                the same name are added up over the losses of a micro-batch.
            *inputs: its arguments.
        """
        # Two losses may run at once, but replicas must communicate in a fixed order.
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
        # Keras sums over replicas again. Divide first, so that the mean stays the same.
        if self.num_replicas > 1:
            gradients = [gradient / self.num_replicas for gradient in gradients]
        with tf.control_dependencies([norm]):
            # All reads of the weights are done, so TensorFlow can update them in place.
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


def _check_divisible(batch, num_micro_batches):
    """Refuse a batch that is empty or cannot be split evenly, also in the graph."""
    message = indivisible_batch(num_micro_batches)
    size = batch.shape[0]
    if size is None:
        size = tf.shape(batch)[0]
        is_valid = (size > 0) & (size % num_micro_batches == 0)
        tf.debugging.Assert(is_valid, [message])
    elif size == 0 or size % num_micro_batches:
        raise ValueError(f"{message} (here {size})")
