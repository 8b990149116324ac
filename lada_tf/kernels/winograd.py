"""3×3 convolutions with less than half the products: Winograd's minimal filtering.

Along a line, the two outputs y of a tile, under a filter of three taps w, are made of
four products instead of six (F(2, 3), arXiv:1509.09308, eq 5):

    y = Aᵀ [(G w) ⊙ (Bᵀ x)]

where x are the four inputs that the tile sees. On a map this is done along both axes,
with 16 products for 36; over channels, each of the 16 is one of matrices, with a row
for each tile of the batch. The results are those of the definition up to rounding. What
it costs is writing Bᵀx and reading what Aᵀ sums, four times the map each, so that
channels have to be many.
"""

import functools
import operator

import keras
import numpy as np

from lada_tf.kernels.bilinear import Parts, bilinear
from lada_tf.kernels.xla_kernel import fused

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

DATA = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))  # Bᵀ
TAPS = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))  # G
OUTPUTS = ((1, 1, 1, 0), (0, 1, -1, -1))  # Aᵀ


def convolve(inputs, kernel):
    """A 3×3 convolution of stride 1, padded with zeros to the same size.

    It can be differentiated any number of times. For `fused.on_processor()` alone.

    Args:
        inputs: float32 (B, H, W, C), with H, W and C known; H and W are even.
        kernel: float32 (3, 3, C, K).

    Returns:
        float32 (B, H, W, K).
    """
    _, height, width, _ = inputs.shape
    to_outputs = _convolution(height, width).to_outputs
    return to_outputs(inputs, tf.convert_to_tensor(kernel))


@functools.cache
def _convolution(height, width):
    """The algorithm, for maps of that size."""
    size = (height, width)
    return bilinear(
        inputs=Parts(_to_points(_data, *size), _from_points(_data_transposed, *size)),
        kernel=Parts(_kernel_to_points, _kernel_from_points),
        outputs=Parts(
            _to_points(_outputs_transposed, *size), _from_points(_outputs, *size)
        ),
    )


# Of a map (B, H, W, D) a line's 4 points along both axes make one batch of matrices,
# (16, B · tiles, D).


def _to_points(along_lines, height, width):
    def apply(x):
        channels = x.shape[-1]
        rows = along_lines(tf.reshape(x, (-1, height, width * channels)))
        columns = along_lines(tf.reshape(rows, (-1, width, channels)))
        return [tf.reshape(columns, (16, -1, channels))]

    return fused(apply, derivatives=0)


def _from_points(along_lines, height, width):
    def apply(x):
        channels = x.shape[-1]
        columns = along_lines(tf.reshape(x, (4, -1, width // 2, channels)))
        rows = tf.reshape(columns, (4, -1, height // 2, width * channels))
        return tf.reshape(along_lines(rows), (-1, height, width, channels))

    compiled = fused(apply, derivatives=0)
    return lambda points: compiled(*points)


def _data(x):
    """Lines (N, length, D) → (4, N, tiles, D)."""
    first, second = _pairs(x)
    return tf.stack(_times(DATA, [_one_on(second), first, second, _one_back(first)]))


def _data_transposed(points):
    before, first, second, after = _times(_transposed(DATA), tf.unstack(points))
    return _lines([first + _one_on(after), second + _one_back(before)])


def _outputs(points):
    """(4, N, tiles, D) → lines (N, length, D)."""
    return _lines(_times(OUTPUTS, tf.unstack(points)))


def _outputs_transposed(x):
    return tf.stack(_times(_transposed(OUTPUTS), _pairs(x)))


def _pairs(x):
    """Lines (N, length, D) → of each tile the first and the second pixel."""
    *_, length, depth = x.shape
    x = tf.reshape(x, (-1, length // 2, 2 * depth))
    return [x[..., :depth], x[..., depth:]]


def _lines(pairs):
    *_, tiles, depth = pairs[0].shape
    return tf.reshape(tf.stack(pairs, axis=2), (-1, 2 * tiles, depth))


def _one_on(x):
    """(N, tiles, D), of which each tile gets what the one before it had."""
    return tf.pad(x[:, :-1], ((0, 0), (1, 0), (0, 0)))


def _one_back(x):
    return tf.pad(x[:, 1:], ((0, 0), (0, 1), (0, 0)))


def _times(matrix, vector):
    """Of a matrix and a vector of tensors."""

    def term(entry, x):
        return x if entry == 1 else -x if entry == -1 else entry * x

    def row_sum(row):
        terms = (term(*pair) for pair in zip(row, vector, strict=True) if pair[0])
        return functools.reduce(operator.add, terms)

    return [row_sum(row) for row in matrix]


def _transposed(matrix):
    return tuple(zip(*matrix, strict=True))


# G along both axes, in the order of the points: (columns' point, rows' point), of taps
# (row, column). As a matrix product it takes half the time of a kernel of sums.
TAPS_OF_MAPS = np.einsum("ia,jb->jiab", TAPS, TAPS).reshape(16, 9).astype("float32")


def _kernel_to_points(w):
    points = tf.matmul(TAPS_OF_MAPS, tf.reshape(w, (9, -1)))
    return [tf.reshape(points, (16, *w.shape[2:]))]


def _kernel_from_points(points):
    (points,) = points
    taps = tf.matmul(TAPS_OF_MAPS.T, tf.reshape(points, (16, -1)))
    return tf.reshape(taps, (3, 3, *points.shape[1:]))
