"""The Inception score."""

import itertools

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import entr

from lada_tf.errors import UserError
from lada_tf.evaluation.statistics import as_features

ADM_CHUNK = 5000  # images per chunk in the guided-diffusion evaluator


def inception_score(probabilities: ArrayLike, splits: int | None = None) -> float:
    """Compute the Inception score, exp(mean KL(p(y|x) ‖ p(y))) (Salimans et al. 2016).

    By default, as in the guided-diffusion (ADM) evaluator: split the images into
    consecutive chunks of 5,000, each with its own marginal p(y), and return the mean of
    their scores. A shorter last chunk has the same weight. Computed in float64.

    Args:
        probabilities: array (N, classes), rows in [0, 1] that sum to 1.
        splits: number of equal chunks to use instead; the original implementation has
            10. Equals the default only if N = 5,000 x splits.

    Returns:
        The score, from 1 to the number of classes.

    Raises:
        UserError: rows that are not probabilities, NaN, or fewer images than `splits`.
    """
    return float(np.mean(chunk_scores(probabilities, splits)))


def chunk_scores(probabilities: ArrayLike, splits: int | None = None) -> np.ndarray:
    """Return the score of each chunk. Args and errors: see `inception_score`.

    The original implementation and `torch-fidelity` report their mean and standard
    deviation. By default, `torch-fidelity` shuffles the images first.
    """
    probabilities = as_features(probabilities, "probabilities", minimum=1)
    images = len(probabilities)
    if splits is None:
        bounds = [*range(0, images, ADM_CHUNK), images]
    elif 1 <= splits <= images:
        bounds = [i * images // splits for i in range(splits + 1)]
    else:
        raise UserError(f"splits={splits} must be between 1 and the {images} images")
    return np.array(
        [
            _chunk_score(probabilities[start:end].astype(np.float64))
            for start, end in itertools.pairwise(bounds)
        ]
    )


def _chunk_score(probabilities: np.ndarray) -> float:
    # 1e-3 accepts float16 rows of 1,008 classes and rejects logits.
    if probabilities.min() < 0 or np.abs(probabilities.sum(axis=1) - 1).max() > 1e-3:
        raise UserError(
            "probabilities must have rows >= 0 that sum to 1: apply softmax first"
        )
    # mean KL(p(y|x) ‖ p(y)) = H(mean p) - mean H(p)
    conditional = entr(probabilities).sum(axis=1).mean()
    return float(np.exp(entr(probabilities.mean(axis=0)).sum() - conditional))
