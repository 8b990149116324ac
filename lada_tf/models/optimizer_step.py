"""One optimizer update: over micro-batches, over replicas, with a scaled loss."""

import collections

import keras
import tensorflow as tf

from lada_tf.models.objectives import Either, Part

# A loss scale that has been halved to this is no overflow's doing.
LEAST_LOSS_SCALE = 2.0**-20


def update(draw, objectives, network, optimizer, seeds, micro_batches=1, overlap=False):
    """Moves a network against the mean gradient over the global batch.

    Every replica and micro-batch sees its part of the batch. Its random draws begin at
    the same state of `seeds`, and of what is drawn it takes its own rows.

    Args:
        draw: callable, (micro-batch number, `Part`) → inputs of the objectives, through
            which no gradient flows.
        objectives: callables, (inputs, `Part`) → loss, dict of scalars, or `Either` of
            two; the network minimizes the sum of the losses.
        network: Keras model whose trainable variables are moved.
        optimizer: built Keras optimizer of these variables.
        seeds: `keras.random.SeedGenerator` that both draw from.
        micro_batches: int, gradients to average before the update.
        overlap: bool, whether objectives and micro-batches may be computed at once.

    Returns:
        The dicts' means over the global batch, those of one name added up over the
        objectives; the global norm of the gradient that was applied, 0 where loss
        scaling skipped the update; and whether all is finite.
    """

    def differentiate(objective, drawn, part):
        if isinstance(objective, Either):
            return tf.cond(
                objective.condition(),
                lambda: differentiate(objective.if_true, drawn, part),
                lambda: differentiate(objective.if_false, drawn, part),
            )
        with tf.GradientTape() as tape:
            loss, values = objective(drawn, part)
            loss = optimizer.scale_loss(loss)
        return tape.gradient(loss, variables), values

    def after(tensors):
        # Without waiting, the activations of all parts would be in memory at once.
        return tf.control_dependencies([] if overlap else tensors or [])

    replica, replicas = _replica()
    variables = network.trainable_variables
    start = tf.identity(seeds.state.value)
    gradients, seen = None, collections.defaultdict(list)
    for number in range(micro_batches):
        part = Part(replica * micro_batches + number, replicas * micro_batches)
        with after(gradients):
            seeds.state.assign(start)
            drawn = draw(number, part)
        for objective in objectives:
            with after(gradients):
                more, more_values = differentiate(objective, drawn, part)
            gradients = _sum(gradients, more)
            for name, value in more_values.items():
                seen[name].append(value)

    sums = tf.stack([tf.reduce_sum(tf.stack(each)) for each in seen.values()])
    gradients = _mean_over_parts(gradients, replicas, replicas * micro_batches)
    means = _mean_over_parts([sums], replicas, replicas * micro_batches)
    values = dict(zip(seen, tf.unstack(means[0]), strict=True))
    shares = gradients
    if replicas > 1:  # `apply` sums over them
        shares = [gradient / replicas for gradient in gradients]
    scale = optimizer.scale_loss(tf.ones(()))
    norm = tf.linalg.global_norm(gradients) / scale
    with tf.control_dependencies([norm]):
        # Nothing reads the weights any more, so that they are moved in place.
        optimizer.apply(shares, variables)
    finite = tf.math.is_finite(tf.reduce_sum(tf.stack(list(values.values()))))
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        # Gradients that overflow are skipped, and the scale is halved.
        norm = tf.where(tf.math.is_finite(norm), norm, 0.0)
        finite = tf.logical_and(finite, scale > LEAST_LOSS_SCALE)
    return values, norm, tf.logical_and(finite, tf.math.is_finite(norm))


def _replica():
    """This replica's number, and how many there are."""
    context = tf.distribute.get_replica_context()
    count = context.num_replicas_in_sync
    return (context.replica_id_in_sync_group if count > 1 else 0), count


def _sum(tensors, more):
    if tensors is None:
        return more
    return [a + b for a, b in zip(tensors, more, strict=True)]


def _mean_over_parts(tensors, replicas, parts):
    if replicas > 1:
        context = tf.distribute.get_replica_context()
        tensors = context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)
    return [tensor / parts for tensor in tensors] if parts > 1 else tensors
