"""The terms of both networks' losses (eqs 14-15), and the metrics of a step."""

from collections.abc import Callable
from typing import NamedTuple

from keras import ops

from lada_tf.kernels import Tensor


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

LOSSES = {"non_saturating": NON_SATURATING, "hinge": HINGE}

METRICS = (
    "d_loss",  # adversarial loss of the discriminator alone
    "d_total_loss",  # with weighted R1 and consistency: what it minimizes
    "g_loss",
    "r1",  # without its weight γ; with lazy R1, k times the penalty, or 0
    "r1_weighted",
    "consistency_real",  # without their weights; 0 if bCR is off
    "consistency_fake",
    "real_logits",  # means over the logits of the losses
    "fake_logits",
    "real_accuracy",  # share of real logits above 0
    "fake_accuracy",  # share of fake logits below 0
    "d_grad_norm",  # over all variables of the network
    "g_grad_norm",
)
# Those of an evaluation, which has no gradients.
TEST_METRICS = (
    "d_loss",
    "g_loss",
    "real_logits",
    "fake_logits",
    "real_accuracy",
    "fake_accuracy",
)


def fake_metrics(logits: Tensor) -> dict[str, Tensor]:
    return {
        "fake_logits": ops.mean(logits),
        "fake_accuracy": ops.mean(ops.cast(logits < 0, "float32")),
    }


def real_metrics(
    logits: Tensor, r1: Tensor | float = 0.0, r1_gamma: float = 0.0
) -> dict[str, Tensor]:
    return {
        "real_logits": ops.mean(logits),
        "real_accuracy": ops.mean(ops.cast(logits > 0, "float32")),
        "r1": r1,
        "r1_weighted": r1_gamma * r1,
    }


def r1_penalty(input_gradients: Tensor) -> Tensor:
    """R1: the mean over images of ‖∇ₓ Σ logits(x)‖² (eq 14); arXiv:1801.04406.

    Args:
        input_gradients: float32 (B, H, W, C), ∇ₓ Σ logits(x) for real images x.

    Returns:
        A float32 scalar, without its weight γ.
    """
    return ops.mean(ops.sum(input_gradients**2, axis=(1, 2, 3)))


def consistency(logits: Tensor, augmented_logits: Tensor) -> Tensor:
    """The bCR term: mean squared difference of logits; arXiv:2002.04724.

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
