"""The terms of both networks' losses, as functions of tensors (eqs 14-15)."""

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
