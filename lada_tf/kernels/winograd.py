"""3×3 convolutions with fewer multiplications: Winograd's minimal filtering.

Along a line, a tile of two outputs y under a filter w of three taps needs four
multiplications instead of six (F(2, 3), arXiv:1509.09308, eq 5):

    y = Aᵀ [(G w) ⊙ (Bᵀ x)]

where x are the four inputs that the tile sees. A 2-D map applies this along both axes
and needs 16 multiplications instead of 36. Summed over channels, each of the 16 is a
matmul with one row per tile of the batch. The results equal the definition's up to
rounding. The cost is writing Bᵀx and reading the products, four times the map each, so
that it pays off only for many channels.
"""

import functools
import operator

import numpy as np
import tensorflow as tf

from lada_tf.kernels.bilinear import SplitJoin, bilinear_op
from lada_tf.kernels.xla_kernel import xla_kernel

# With fewer channels, in or out, reading and writing takes longer than it saves.
MIN_CHANNELS = 96

DATA = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))  # Bᵀ
TAPS = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))  # G
OUTPUTS = ((1, 1, 1, 0), (0, 1, -1, -1))  # Aᵀ


def convolve(inputs, kernel):
    """3×3 convolution with stride 1 and zero padding to the same size.

    It can be differentiated any number of times. Use it only if `cpu_only_with_xla()`.

    Args:
        inputs: float32 (B, H, W, C) with known H, W and C; H and W are even.
        kernel: float32 (3, 3, C, K).

    Returns:
        float32 (B, H, W, K).
    """
    _, height, width, _ = inputs.shape
    return _convolution(height, width)(inputs, tf.convert_to_tensor(kernel))


@functools.cache
def _convolution(height, width):
    """The algorithm for maps of one size."""
    size = (height, width)
    return bilinear_op(
        inputs=SplitJoin(
            _to_points(_data, *size), _from_points(_data_transposed, *size)
        ),
        kernel=SplitJoin(_kernel_to_points, _kernel_from_points),
        outputs=SplitJoin(
            _to_points(_outputs_transposed, *size), _from_points(_outputs, *size)
        ),
    )


# A tile has 4×4 points. The points of all tiles form one batch of matrices,
# (16, B · tiles, channels).


def _to_points(along_lines, height, width):
    def apply(x):
        channels = x.shape[-1]
        rows = along_lines(tf.reshape(x, (-1, height, width * channels)))
        columns = along_lines(tf.reshape(rows, (-1, width, channels)))
        return [tf.reshape(columns, (16, -1, channels))]

    return xla_kernel(apply, max_grad_order=0)


def _from_points(along_lines, height, width):
    def apply(x):
        channels = x.shape[-1]
        columns = along_lines(tf.reshape(x, (4, -1, width // 2, channels)))
        rows = tf.reshape(columns, (4, -1, height // 2, width * channels))
        return tf.reshape(along_lines(rows), (-1, height, width, channels))

    compiled = xla_kernel(apply, max_grad_order=0)
    return lambda points: compiled(*points)


def _data(x):
    """Lines (N, length, D) → (4, N, tiles, D)."""
    first, second = _pairs(x)
    return tf.stack(
        _times(DATA, [_shift_right(second), first, second, _shift_left(first)])
    )


def _data_transposed(points):
    before, first, second, after = _times(_transposed(DATA), tf.unstack(points))
    return _lines([first + _shift_right(after), second + _shift_left(before)])


def _outputs(points):
    """(4, N, tiles, D) → lines (N, length, D)."""
    return _lines(_times(OUTPUTS, tf.unstack(points)))


def _outputs_transposed(x):
    return tf.stack(_times(_transposed(OUTPUTS), _pairs(x)))


def _pairs(x):
    """Lines (N, length, D) → the first and the second pixel of each tile."""
    *_, length, depth = x.shape
    x = tf.reshape(x, (-1, length // 2, 2 * depth))
    return [x[..., :depth], x[..., depth:]]


def _lines(pairs):
    *_, tiles, depth = pairs[0].shape
    return tf.reshape(tf.stack(pairs, axis=2), (-1, 2 * tiles, depth))


def _shift_right(x):
    """Give each tile of (N, tiles, D) the values of the tile before it."""
    return tf.pad(x[:, :-1], ((0, 0), (1, 0), (0, 0)))


def _shift_left(x):
    return tf.pad(x[:, 1:], ((0, 0), (0, 1), (0, 0)))


def _times(matrix, vector):
    """Multiply a constant matrix by a vector of tensors."""

    def term(entry, x):
        return x if entry == 1 else -x if entry == -1 else entry * x

    def row_sum(row):
        terms = (term(*pair) for pair in zip(row, vector, strict=True) if pair[0])
        return functools.reduce(operator.add, terms)

    return [row_sum(row) for row in matrix]


def _transposed(matrix):
    return tuple(zip(*matrix, strict=True))


# G along both axes: from taps (row, column) to points (column, row). As a matmul it
# takes half the time of a kernel of sums.
TAPS_2D = np.einsum("ia,jb->jiab", TAPS, TAPS).reshape(16, 9).astype("float32")


def _kernel_to_points(w):
    points = tf.matmul(TAPS_2D, tf.reshape(w, (9, -1)))
    return [tf.reshape(points, (16, *w.shape[2:]))]


def _kernel_from_points(points):
    (points,) = points
    taps = tf.matmul(TAPS_2D.T, tf.reshape(points, (16, -1)))
    return tf.reshape(taps, (3, 3, *points.shape[1:]))
