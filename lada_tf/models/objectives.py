"""What each player minimizes in a step, as functions of a LadaGAN and a batch.

Both take the `Part` of the global batch that they see, and return the loss to minimize
with the values that are logged. With several replicas or micro-batches each sees a part
of the batch, and the random numbers of just that part: together they are the step that
one device would make.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from lada_tf.layers import DiffAugment
from lada_tf.models.discriminator import Discriminator
from lada_tf.models.gradient_checkpointing import input_gradient, recomputed
from lada_tf.models.losses import LOSSES

# float16's smallest numbers are larger than some gradients that R1 squares.
R1_SCALE_FLOAT16 = 1024.0


class Part(NamedTuple):
    """Number `number` of `total` equal parts of a batch, in order."""

    number: int | tf.Tensor = 0
    total: int = 1


class Either(NamedTuple):
    """One of two objectives, which log values of the same names."""

    condition: Callable[[], tf.Tensor]  # () → bool
    if_true: Callable
    if_false: Callable


def discriminator_objectives(gan, with_r1=None):
    """What the discriminator minimizes, as a sum of objectives (eq 14).

    The adversarial losses of generated and of real images have nothing in common, so
    that the activations of one need not be kept for the other. With bCR they have: the
    logits of augmented images.

    Args:
        gan: `LadaGAN`.
        with_r1: bool, whether R1 is one of them; by default the graph finds out.

    Returns:
        Callables, (what `discriminator_batch` returned, `Part`) → loss, dict of
        scalars; or `Either` of two. Values of the same name are to be added up.
    """

    def real(objective):
        each = functools.partial(objective, gan, r1_weight=gan.r1_interval)
        none = functools.partial(objective, gan, r1_weight=0)
        if gan.r1_interval == 1 or with_r1:
            return each
        if with_r1 is not None:
            return none
        return Either(lambda: gan.r1_is_due, each, none)

    if gan.consistent:
        return [real(_consistent_objective)]
    return [functools.partial(_fake_objective, gan), real(_real_objective)]


def discriminator_batch(gan, real, part):
    """Generated and real images, augmented unless bCR is on.

    Nothing of the discriminator's update reaches the generator: to be called outside
    any gradient tape.

    Args:
        gan: `LadaGAN`.
        real: float32 (B, H, W, 3), a part of the real batch.
        part: which part.

    Returns:
        Both, float32 (B, H, W, 3).
    """
    latents = sample_part(gan, tf.shape(real)[0], part)
    fake = gan.generator(latents, training=True)
    if gan.consistent:
        return fake, real
    return _augment(gan, fake, part), _augment(gan, real, part)


def _fake_objective(gan, images, part):
    """The adversarial loss of generated images."""
    fake, _ = images
    logits = gan.discriminator(fake, **_training(gan))
    loss = LOSSES[gan.adversarial_loss].fake(logits)
    return loss, {"d_loss": loss, "d_total_loss": loss, **_fake_values(logits)}


def _real_objective(gan, images, part, r1_weight):
    """The adversarial loss of real images, and R1."""
    _, real = images
    logits, r1 = _logits_and_weighted_r1(gan, real, r1_weight)
    loss = LOSSES[gan.adversarial_loss].real(logits)
    total = _total([loss, gan.r1_gamma * r1])
    values = {"d_loss": loss, "d_total_loss": total, **_real_values(gan, logits, r1)}
    return total, values


def _consistent_objective(gan, images, part, r1_weight):
    """Adversarial losses, R1, and consistency of the logits with augmented images'."""
    fake, real = images
    augmented = tf.concat(
        [_augment(gan, real, part), _augment(gan, fake, part)], axis=0
    )
    fake_logits = gan.discriminator(fake, **_training(gan))
    real_logits, r1 = _logits_and_weighted_r1(gan, real, r1_weight)
    logits = gan.discriminator(augmented, **_training(gan))
    real_augmented, fake_augmented = tf.split(logits, 2)
    consistency_real = _mean_square(real_logits - real_augmented)
    consistency_fake = _mean_square(fake_logits - fake_augmented)
    losses = LOSSES[gan.adversarial_loss]
    d_loss = losses.real(real_logits) + losses.fake(fake_logits)
    total = _total(
        [
            d_loss,
            gan.r1_gamma * r1,
            gan.bcr_real * consistency_real,
            gan.bcr_fake * consistency_fake,
        ]
    )
    return total, {
        "d_loss": d_loss,
        "d_total_loss": total,
        "consistency_real": consistency_real,
        "consistency_fake": consistency_fake,
        **_fake_values(fake_logits),
        **_real_values(gan, real_logits, r1),
    }


def _logits_and_weighted_r1(gan, real, r1_weight):
    """Logits of real images, and R1 as often as r1_weight says: k times, or not."""
    if r1_weight == 0:
        return gan.discriminator(real, **_training(gan)), tf.zeros(())
    logits, r1 = real_logits_and_r1(gan.discriminator, real, gan.gradient_checkpointing)
    return logits, r1_weight * r1


def _total(terms):
    """Their sum, by one reduction.

    TensorFlow may reorder a chain of additions, differently in each process, and with
    it the last bit of what is logged.
    """
    return tf.reduce_sum(tf.stack(terms))


def _fake_values(logits):
    return {
        "fake_logits": tf.reduce_mean(logits),
        "fake_accuracy": tf.reduce_mean(tf.cast(logits < 0, tf.float32)),
    }


def _real_values(gan, logits, r1):
    return {
        "real_logits": tf.reduce_mean(logits),
        "real_accuracy": tf.reduce_mean(tf.cast(logits > 0, tf.float32)),
        "r1": r1,
        "r1_weighted": gan.r1_gamma * r1,
    }


def generator_objective(gan, latents, part):
    """The adversarial loss of generated images (eq 15); augmented unless bCR is on.

    Args:
        gan: `LadaGAN`.
        latents: float32 (B, latent_dim), a part of the batch's.
        part: which part.

    Returns:
        The loss, and a dict of scalars.
    """
    fake = gan.generator(latents, **_training(gan))
    if not gan.consistent:
        fake = _augment(gan, fake, part)
    logits = gan.discriminator(fake, **_training(gan), **_parts(gan, fake.shape[0]))
    g_loss = LOSSES[gan.adversarial_loss].generator(logits)
    return g_loss, {"g_loss": g_loss}


def real_logits_and_r1(discriminator, real, recompute=False):
    """Logits of real images and mean ‖∇ₓ Σ logits(x)‖² (eq 14).

    The sum is over an image's 25 logits; the square and its sum are float32 whatever
    the discriminator computes in.

    Args:
        discriminator: `Discriminator`.
        real: float32 (B, H, W, 3).
        recompute: bool, whether gradients, that of R1 too, compute the discriminator's
            stages again. Otherwise both results are of one pass.

    Returns:
        Logits, float32 (B, 25), and a float32 scalar.
    """
    scale = R1_SCALE_FLOAT16 if discriminator.compute_dtype == "float16" else 1.0
    both = _logits_and_gradient_again if recompute else _logits_and_gradient
    logits, gradient = both(discriminator, real, scale)
    return logits, tf.reduce_mean(
        tf.reduce_sum((gradient / scale) ** 2, axis=(1, 2, 3))
    )


def _logits_and_gradient(discriminator, real, scale):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(real)
        logits = discriminator(real, training=True)
        scaled = logits * scale
    return logits, tape.gradient(scaled, real)


def _logits_and_gradient_again(discriminator, real, scale):
    """The same, of a chain of stages that keep only their inputs and its gradient."""
    stages, inputs = discriminator.stages(training=True), [real]
    for stage in stages:
        inputs.append(recomputed(stage)(inputs[-1]))
    gradient = scale * tf.ones_like(inputs[-1])
    for stage, x in zip(reversed(stages), reversed(inputs[:-1]), strict=True):
        gradient = recomputed(functools.partial(input_gradient, stage))(x, gradient)
    return inputs[-1], gradient


def sample_part(gan, n, part):
    """`part` of the batch's latents, of which it has n: float32 (n, latent_dim)."""
    latents = gan.sample_latents(n * part.total)
    if part.total == 1:
        return latents
    return tf.reshape(latents, (part.total, n, gan.latent_dim))[part.number]


def _training(gan):
    """Arguments of a network's call; a user's own network may not know `recompute`."""
    return {"training": True} | (
        {"gradient_checkpointing": True} if gan.gradient_checkpointing else {}
    )


def _parts(gan, batch_size):
    """Arguments that make work for two threads of the discriminator's pass.

    The images wait for its update, and the generator's gradient for it: nothing else is
    left to compute beside it.
    """
    halves = gan.overlap and batch_size is not None and batch_size % 2 == 0
    ours = isinstance(gan.discriminator, Discriminator)
    return {"parts": 2} if halves and ours else {}


def _augment(gan, images, part):
    if isinstance(gan.augment, DiffAugment):
        return gan.augment(images, part=part.number, parts=part.total)
    return gan.augment(images)  # the user's own knows no parts


def _mean_square(difference):
    return tf.reduce_mean(difference**2)
