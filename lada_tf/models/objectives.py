"""What each player minimizes in a step, as functions of a LadaGAN and a batch.

Both take the `Part` of the global batch that they see, and return the loss to minimize
with the values that are logged. With several replicas or micro-batches each sees a part
of the batch, and the random numbers of just that part: together they are the step that
one device would make.
"""

from typing import NamedTuple

import tensorflow as tf

from lada_tf.layers import DiffAugment
from lada_tf.models.losses import LOSSES

# float16's smallest numbers are larger than some gradients that R1 squares.
R1_SCALE_FLOAT16 = 1024.0


class Part(NamedTuple):
    """Number `number` of `total` equal parts of a batch, in order."""

    number: int | tf.Tensor = 0
    total: int = 1


def discriminator_objective(gan, real, fake, part):
    """Adversarial loss, R1 and, with bCR, consistency (eq 14).

    Args:
        gan: `LadaGAN`.
        real: float32 (B, H, W, 3), a part of the real batch.
        fake: the same of the generated batch, made outside any gradient tape: nothing
            of this update reaches the generator.
        part: which part.

    Returns:
        The loss, and a dict of scalars.
    """
    consistent = gan.bcr_real > 0 or gan.bcr_fake > 0
    if consistent:
        augmented = tf.concat(
            [_augment(gan, real, part), _augment(gan, fake, part)], axis=0
        )
    else:
        fake = _augment(gan, fake, part)
        real = _augment(gan, real, part)
    fake_logits = gan.discriminator(fake, training=True)
    real_logits, r1 = real_logits_and_r1(gan.discriminator, real)
    d_loss = LOSSES[gan.adversarial_loss].discriminator(real_logits, fake_logits)
    terms = [d_loss, gan.r1_gamma * r1]
    values = {}
    if consistent:
        logits = gan.discriminator(augmented, training=True)
        real_augmented, fake_augmented = tf.split(logits, 2)
        values["consistency_real"] = _mean_square(real_logits - real_augmented)
        values["consistency_fake"] = _mean_square(fake_logits - fake_augmented)
        terms.append(gan.bcr_real * values["consistency_real"])
        terms.append(gan.bcr_fake * values["consistency_fake"])

    # One reduction: TensorFlow may reorder a chain of additions, differently in each
    # process, and with it the last bit of what is logged.
    total = tf.reduce_sum(tf.stack(terms))
    return total, {
        **values,
        "d_loss": d_loss,
        "d_total_loss": total,
        "r1": r1,
        "r1_weighted": gan.r1_gamma * r1,
        "real_logits": tf.reduce_mean(real_logits),
        "fake_logits": tf.reduce_mean(fake_logits),
        "real_accuracy": tf.reduce_mean(tf.cast(real_logits > 0, tf.float32)),
        "fake_accuracy": tf.reduce_mean(tf.cast(fake_logits < 0, tf.float32)),
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
    fake = gan.generator(latents, training=True)
    if not (gan.bcr_real > 0 or gan.bcr_fake > 0):
        fake = _augment(gan, fake, part)
    logits = gan.discriminator(fake, training=True)
    g_loss = LOSSES[gan.adversarial_loss].generator(logits)
    return g_loss, {"g_loss": g_loss}


def real_logits_and_r1(discriminator, real):
    """Logits of real images and mean ‖∇ₓ Σ logits(x)‖² (eq 14), in one pass.

    The sum is over an image's 25 logits; the square and its sum are float32 whatever
    the discriminator computes in.
    """
    scale = R1_SCALE_FLOAT16 if discriminator.compute_dtype == "float16" else 1.0
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(real)
        logits = discriminator(real, training=True)
        scaled = logits * scale
    gradients = tape.gradient(scaled, real) / scale
    return logits, tf.reduce_mean(tf.reduce_sum(gradients**2, axis=(1, 2, 3)))


def sample_part(gan, n, part):
    """`part` of the batch's latents, of which it has n: float32 (n, latent_dim)."""
    latents = gan.sample_latents(n * part.total)
    if part.total == 1:
        return latents
    return tf.reshape(latents, (part.total, n, gan.latent_dim))[part.number]


def _augment(gan, images, part):
    if isinstance(gan.augment, DiffAugment):
        return gan.augment(images, part=part.number, parts=part.total)
    return gan.augment(images)  # the user's own knows no parts


def _mean_square(difference):
    return tf.reduce_mean(difference**2)
