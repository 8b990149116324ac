"""Adversarial losses: what each player minimizes, as means over all logits."""

from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops


class AdversarialLoss(NamedTuple):
    """The two sides of a game; logits are float tensors of any shape."""

    discriminator: Callable[[Any, Any], Any]  # (real logits, fake logits) -> scalar
    generator: Callable[[Any], Any]  # fake logits -> scalar


# Non-saturating logistic loss (eqs 14-15); Goodfellow et al., arXiv:1406.2661.
NON_SATURATING = AdversarialLoss(
    discriminator=lambda real, fake: (
        ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake))
    ),
    generator=lambda fake: ops.mean(ops.softplus(-fake)),
)

# Hinge loss; Lim and Ye, "Geometric GAN", arXiv:1705.02894.
HINGE = AdversarialLoss(
    discriminator=lambda real, fake: (
        ops.mean(ops.relu(1.0 - real)) + ops.mean(ops.relu(1.0 + fake))
    ),
    generator=lambda fake: -ops.mean(fake),
)

LOSSES = {"non_saturating": NON_SATURATING, "hinge": HINGE}
