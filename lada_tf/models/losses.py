"""Adversarial losses: what each player minimizes, as means over all logits."""

from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops


class AdversarialLoss(NamedTuple):
    """The two sides of a game: logits, float tensors of any shape, to a scalar."""

    real: Callable[[Any], Any]  # of real images, for the discriminator
    fake: Callable[[Any], Any]  # of generated ones, for the discriminator
    generator: Callable[[Any], Any]  # of generated ones, for the generator


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
