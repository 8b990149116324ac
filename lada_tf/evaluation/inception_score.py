"""The Inception score."""

import itertools

import numpy as np
from scipy.special import entr

from lada_tf.errors import UserError
from lada_tf.evaluation import checks

ADM_CHUNK = 5000  # images a chunk in the guided-diffusion evaluator


def inception_score(probabilities, splits: int | None = None) -> float:
    """Inception score: exp of the mean KL(p(y|x) ‖ p(y)) (Salimans et al. 2016).

    The default is the guided-diffusion evaluator's form: consecutive chunks of 5,000
    images, each with its own marginal p(y), and the plain mean of their scores; a last
    short chunk weighs the same as the others. 0 log 0 is 0. Computed in float64.

    Args:
        probabilities: array (N, classes), rows that sum to 1, in [0, 1].
        splits: cut into that many parts instead, as the original implementation's 10;
            the same as the default only where N = 5,000 x splits.

    Returns:
        The score, from 1 to the number of classes.

    Raises:
        UserError: rows that are no probabilities, NaN, or fewer images than `splits`.

    Example:
        inception_score(probabilities)             # ADM
        inception_score(probabilities, splits=10)  # Salimans et al.
    """
    probabilities = checks.as_features(probabilities, "probabilities", minimum=1)
    images = len(probabilities)
    if splits is None:
        bounds = [*range(0, images, ADM_CHUNK), images]
    elif 1 <= splits <= images:
        bounds = [part * images // splits for part in range(splits + 1)]
    else:
        raise UserError(f"splits={splits} needs to lie between 1 and {images} images")
    return float(
        np.mean(
            [
                _chunk_score(probabilities[start:end].astype(np.float64))
                for start, end in itertools.pairwise(bounds)
            ]
        )
    )


def _chunk_score(probabilities: np.ndarray) -> float:
    # 1e-3: float16 rows of 1,008 classes still pass, logits do not.
    if probabilities.min() < 0 or np.abs(probabilities.sum(axis=1) - 1).max() > 1e-3:
        raise UserError(
            "probabilities must have rows >= 0 that sum to 1: apply softmax"
        )
    # mean KL(p(y|x) ‖ p(y)) = H(mean p) - mean H(p)
    conditional = entr(probabilities).sum(axis=1).mean()
    return float(np.exp(entr(probabilities.mean(axis=0)).sum() - conditional))
