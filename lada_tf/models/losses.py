"""The terms of both networks' losses (eqs 14-15), and the metrics of a step."""

from collections.abc import Callable
from typing import NamedTuple

import keras
from keras import ops

from lada_tf.kernels import Tensor
from lada_tf.models.gradient_checkpointing import recomputed_input_gradients

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


class AdversarialLoss(NamedTuple):
    """An adversarial loss. Each field maps logits of any shape to a scalar."""

    real: Callable[[Tensor], Tensor]  # discriminator loss on real images
    fake: Callable[[Tensor], Tensor]  # discriminator loss on generated images
    generator: Callable[[Tensor], Tensor]  # generator loss


# Non-saturating logistic loss (eqs 14-15); Goodfellow et al., arXiv:1406.2661.
NON_SATURATING = AdversarialLoss(
    real=lambda logits: ops.mean(ops.softplus(-logits)),
    fake=lambda logits: ops.mean(ops.softplus(logits)),
    generator=lambda logits: ops.mean(ops.softplus(-logits)),
)

# Hinge loss; Lim and Ye, "Geometric GAN", arXiv:1705.02894.
HINGE = AdversarialLoss(
    real=lambda logits: ops.mean(ops.relu(1.0 - logits)),
    fake=lambda logits: ops.mean(ops.relu(1.0 + logits)),
    generator=lambda logits: -ops.mean(logits),
)

# Factor for R1's gradients in float16, where small ones underflow to 0.
R1_SCALE_FLOAT16 = 1024.0

LOSSES = {"non_saturating": NON_SATURATING, "hinge": HINGE}

# Metrics of a training step.
METRICS = (
    "d_loss",  # the discriminator's adversarial loss, without R1 and consistency
    "d_total_loss",  # d_loss + weighted R1 + weighted consistency
    "g_loss",
    "r1",  # without its weight γ; with lazy R1, k times the penalty, or 0
    "r1_weighted",
    "consistency_real",  # without its weight; 0 if bCR is off
    "consistency_fake",
    "real_logits",  # mean over images and cells
    "fake_logits",
    "real_accuracy",  # share of real logits above 0
    "fake_accuracy",  # share of fake logits below 0
    "d_grad_norm",  # over all variables of the network
    "g_grad_norm",
)
# Metrics of an evaluation, which computes no gradients.
TEST_METRICS = (
    "d_loss",
    "g_loss",
    "real_logits",
    "fake_logits",
    "real_accuracy",
    "fake_accuracy",
)


def fake_metrics(logits: Tensor) -> dict[str, Tensor]:
    """Return the metrics of the logits of generated images."""
    return {
        "fake_logits": ops.mean(logits),
        "fake_accuracy": ops.mean(ops.cast(logits < 0, "float32")),
    }


def real_metrics(
    logits: Tensor, r1: Tensor | float = 0.0, r1_gamma: float = 0.0
) -> dict[str, Tensor]:
    """Return the metrics of the logits of real images."""
    return {
        "real_logits": ops.mean(logits),
        "real_accuracy": ops.mean(ops.cast(logits > 0, "float32")),
        "r1": r1,
        "r1_weighted": r1_gamma * r1,
    }


def logits_and_input_gradients(
    discriminator: keras.Model, images: Tensor, gradient_checkpointing: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the logits of a training pass, and the gradients of their sum for R1.

    Args:
        discriminator: `Discriminator`, or a Keras model like it.
        images: float32 (B, H, W, C).
        gradient_checkpointing: bool. If True, backward passes recompute activations.

    Returns:
        Logits, float32 (B, 25), and ∇ₓ Σ logits(x), float32 (B, H, W, C).
    """
    scale = R1_SCALE_FLOAT16 if discriminator.compute_dtype == "float16" else 1.0
    if gradient_checkpointing:
        stages = discriminator.stages(training=True)
        logits, gradients = recomputed_input_gradients(stages, images, scale)
    else:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            logits = tf.cast(discriminator(images, training=True), tf.float32)
            scaled = logits * scale
        gradients = tape.gradient(scaled, images)
    return logits, gradients / scale


def r1_penalty(input_gradients: Tensor) -> Tensor:
    """Compute R1, the mean over images of ‖∇ₓ Σ logits(x)‖² (arXiv:1801.04406).

    Args:
        input_gradients: float32 (B, H, W, C), ∇ₓ Σ logits(x) for real images x.

    Returns:
        A float32 scalar, without its weight γ.
    """
    return ops.mean(ops.sum(input_gradients**2, axis=(1, 2, 3)))


def consistency(logits: Tensor, augmented_logits: Tensor) -> Tensor:
    """Compute the mean squared difference of logits (bCR, arXiv:2002.04724).

    Args:
        logits: float32 (B, 25), of images.
        augmented_logits: float32 (B, 25), of the same images after augmentation.

    Returns:
        A float32 scalar, without its weight λ.
    """
    return ops.mean((logits - augmented_logits) ** 2)


def total(terms: list[Tensor]) -> Tensor:
    """Sum scalar loss terms in one reduction.

    TensorFlow may reorder a chain of additions differently in each process, and with it
    the last bit of the logged value.
    """
    return ops.sum(ops.stack(terms))
