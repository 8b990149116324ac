"""What every metric asks of its arrays, said in one place."""

import numpy as np

from lada_tf.errors import UserError


def as_features(features, name: str, minimum: int = 2) -> np.ndarray:
    """Returns `features` as a 2-D float array; raises `UserError` if it cannot be one.

    Args:
        features: array-like (N, d), any real dtype. Floats are not copied.
        name: what the error message calls it.
        minimum: the fewest rows that the metric can work with.

    Raises:
        UserError: not two-dimensional, fewer rows than `minimum`, no columns, or a NaN
            or an infinity anywhere.
    """
    features = np.asarray(features)
    if features.ndim != 2 or features.shape[1] == 0:
        raise UserError(
            f"{name} must be a matrix, one row an image; its shape is {features.shape}"
        )
    if len(features) < minimum:
        raise UserError(
            f"{name} has {len(features)} row(s); at least {minimum} images are needed"
        )
    if not np.issubdtype(features.dtype, np.floating):
        if not np.can_cast(features.dtype, np.float64, casting="same_kind"):
            raise UserError(f"{name} must hold real numbers, not {features.dtype}")
        features = features.astype(np.float64)
    for block in row_blocks(features):
        if not np.isfinite(block).all():
            raise UserError(f"{name} holds NaN or infinite values")
    return features


def check_same_width(real: np.ndarray, generated: np.ndarray) -> None:
    """Raises `UserError` where two feature matrices cannot be of one extractor."""
    if real.shape[1] != generated.shape[1]:
        raise UserError(
            f"real features are {real.shape[1]} wide and generated ones "
            f"{generated.shape[1]}: take both from the same extractor"
        )


def row_blocks(features: np.ndarray, rows: int = 2048):
    """Yields views of at most `rows` consecutive rows."""
    for start in range(0, len(features), rows):
        yield features[start : start + rows]
