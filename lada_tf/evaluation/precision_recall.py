"""Improved precision and recall (Kynkäänniemi et al. 2019), exact, in bounded memory.

A set's manifold is the union of balls around its features, each out to the k-th nearest
neighbour in the set. Precision is the share of generated features inside the real
manifold, recall the share of real ones inside the generated manifold.

Distances come from float32 matrix products, and ‖a‖² + ‖b‖² - 2ab rounds. So a product
only sorts the pairs into surely nearer, surely farther, and undecided; the few that are
undecided are measured again in float64 from the differences. The result depends on no
block size, BLAS or machine, and duplicates are at distance exactly zero.
"""

import numpy as np

from lada_tf.errors import UserError
from lada_tf.evaluation import checks

ROWS = 512  # of a block of distances
COLUMNS = 8192


def precision_recall(
    real_features,
    generated_features,
    nearest_k: int = 3,
    arithmetic: str = "float32",
) -> tuple[float, float]:
    """Improved precision and recall.

    As in the reference code and the guided-diffusion evaluator: squared L2 distances, a
    ball's radius is the distance to the `nearest_k`-th neighbour other than the feature
    itself, and its border belongs to it.

    Args:
        real_features: array (N, d), N > nearest_k; used as float32.
        generated_features: array (M, d), M > nearest_k; used as float32.
        nearest_k: which neighbour sets the radius; the papers use 3.
        arithmetic: "float32" is exact. "adm_float16" computes the distances in half
            precision, as the guided-diffusion evaluator does; figures published with
            that evaluator carry its error (up to 0.05), so compare like with like.

    Returns:
        (precision, recall), each in [0, 1].

    Raises:
        UserError: too few images, NaN, different widths, an unknown `arithmetic`.
    """
    if nearest_k < 1:
        raise UserError(f"nearest_k={nearest_k} must be at least 1")
    real = _float32(real_features, "real_features", nearest_k)
    generated = _float32(generated_features, "generated_features", nearest_k)
    checks.check_same_width(real, generated)
    if arithmetic == "adm_float16":
        from lada_tf.evaluation import manifold_float16  # TensorFlow is slow to import

        return manifold_float16.precision_recall(real, generated, nearest_k)
    if arithmetic != "float32":
        raise UserError(f"arithmetic={arithmetic!r} must be float32 or adm_float16")

    centre = real[:COLUMNS].mean(axis=0)  # short vectors round less
    real_set, generated_set = _Set(real, centre), _Set(generated, centre)
    real_radii = _squared_radii(real_set, nearest_k)
    generated_radii = _squared_radii(generated_set, nearest_k)
    return (
        float(_inside(generated_set, real_set, real_radii).mean()),
        float(_inside(real_set, generated_set, generated_radii).mean()),
    )


def _float32(features, name: str, nearest_k: int) -> np.ndarray:
    features = checks.as_features(features, name, minimum=nearest_k + 1)
    return checks.as_features(features.astype(np.float32, copy=False), name)


class _Set:
    """Features, and the products that their approximate distances are made of."""

    def __init__(self, features: np.ndarray, centre: np.ndarray):
        self.features = features
        self._centre = centre
        self.norms = np.concatenate(
            [np.square(b - centre).sum(axis=1) for b in checks.row_blocks(features)]
        )
        # Bound on |computed - true| / (‖a‖² + ‖b‖²): d roundings of a dot product,
        # random in sign, and a few of the centring and the sums; 2 for safety.
        unit = np.finfo(np.float32).eps / 2
        self.slack = np.float32(2 * unit * (np.sqrt(features.shape[1]) + 8))

    def __len__(self) -> int:
        return len(self.features)

    def blocks(self, size: int):
        """Yields (slice, centred block, norms)."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield part, self.features[part] - self._centre, self.norms[part]


def _squared_radii(points: _Set, nearest_k: int) -> np.ndarray:
    """Squared distances (N,) to the k-th neighbour, float64."""
    radii = np.empty(len(points))
    for part, rows, norms in points.blocks(ROWS):
        distances = np.empty((len(rows), len(points)), np.float32)
        for columns, block, block_norms in points.blocks(COLUMNS):
            np.matmul(rows, -2 * block.T, out=distances[:, columns])
            distances[:, columns] += block_norms
        # Now ‖b‖² - 2ab: the row's own norm is missing, which no ranking needs.
        nearest = np.partition(distances, nearest_k, axis=1)[:, nearest_k]
        # Any of the true k nearest is computed at most twice the error above this one;
        # a neighbour at r = nearest + ‖a‖² has ‖b‖² <= 2 (‖a‖² + r).
        longest = np.minimum(points.norms.max(), 3 * (2 * norms + nearest))
        limit = nearest + 2 * points.slack * (norms + longest)
        candidates = np.nonzero(distances <= limit[:, None])
        exact = _exact(points, part.start + candidates[0], points, candidates[1])
        order = np.lexsort((exact, candidates[0]))
        first = np.searchsorted(candidates[0], np.arange(len(rows)))
        radii[part] = exact[order][first + nearest_k]
    return radii


def _inside(points: _Set, centres: _Set, radii: np.ndarray) -> np.ndarray:
    """Which points (N,) lie in at least one ball of `centres`."""
    inside = np.zeros(len(points), bool)
    for columns, block, block_norms in centres.blocks(COLUMNS):
        ball = (1 - centres.slack) * block_norms - radii[columns].astype(np.float32)
        ball -= centres.slack * radii[columns].astype(np.float32)  # float32 of a radius
        transposed = -2 * block.T
        for part, rows, norms in points.blocks(ROWS):
            # d² - r² less the bound on its error: positive means outside.
            margin = rows @ transposed
            margin += ball
            margin += ((1 - centres.slack) * norms)[:, None]
            open_rows = np.nonzero(~inside[part] & (margin.min(axis=1) <= 0))[0]
            best = margin[open_rows].argmin(axis=1)
            error = norms[open_rows] + block_norms[best] + radii[columns][best]
            sure = margin[open_rows, best] + 3 * centres.slack * error <= 0
            inside[part.start + open_rows[sure]] = True
            open_rows = open_rows[~sure]
            pairs = np.nonzero(margin[open_rows] <= 0)
            point, centre = part.start + open_rows[pairs[0]], columns.start + pairs[1]
            hits = _exact(points, point, centres, centre) <= radii[centre]
            inside[point[hits]] = True
    return inside


def _exact(
    first: _Set, first_rows: np.ndarray, second: _Set, second_rows: np.ndarray
) -> np.ndarray:
    """Squared distances (P,) of P pairs in float64; the same bits either way round."""
    distances = np.empty(len(first_rows))
    for start in range(0, len(distances), ROWS):
        part = slice(start, start + ROWS)
        difference = first.features[first_rows[part]].astype(np.float64)
        difference -= second.features[second_rows[part]]
        distances[part] = np.square(difference).sum(axis=1)
    return distances
