"""3×3 convolutions with fewer multiplications: Winograd's minimal filtering.

Divide the outputs of a line into tiles of two. For a filter w with three taps, a tile y
depends on four inputs x. It needs four multiplications instead of six (F(2, 3),
arXiv:1509.09308, eq 5):

    y = Aᵀ [(G w) ⊙ (Bᵀ x)]

In 2-D, this applies along both axes and needs 16 multiplications instead of 36. With
channels, each of the 16 is a matmul with one row per tile of the batch. Bᵀx and the
products are each four times as large as the map. Writing and reading them takes time,
so the algorithm pays off only for many channels.
"""

import functools
import operator

import numpy as np
import tensorflow as tf

from lada_tf.kernels.bilinear import SplitJoin, bilinear_op
from lada_tf.kernels.xla_kernel import xla_kernel

# With fewer input or output channels, the algorithm takes more time than it saves.
MIN_CHANNELS = 96

DATA = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))  # Bᵀ
TAPS = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))  # G
OUTPUTS = ((1, 1, 1, 0), (0, 1, -1, -1))  # Aᵀ


def convolve(inputs, kernel):
    """Convolve with a 3×3 kernel, with stride 1 and zero padding.

    Derivatives of any order work. Call it only if `cpu_only_with_xla()` is True.

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
    """Return the algorithm for maps of one size."""
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


# In 2-D, Bᵀx of a tile has 4×4 points. The points of all tiles form 16 matrices:
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
    """Map lines (N, length, D) to points (4, N, tiles, D)."""
    first, second = _pairs(x)
    return tf.stack(
        _times(DATA, [_shift_right(second), first, second, _shift_left(first)])
    )


def _data_transposed(points):
    before, first, second, after = _times(_transposed(DATA), tf.unstack(points))
    return _lines([first + _shift_right(after), second + _shift_left(before)])


def _outputs(points):
    """Map points (4, N, tiles, D) to lines (N, length, D)."""
    return _lines(_times(OUTPUTS, tf.unstack(points)))


def _outputs_transposed(x):
    return tf.stack(_times(_transposed(OUTPUTS), _pairs(x)))


def _pairs(x):
    """Return the first and the second pixel of each tile in lines (N, length, D)."""
    *_, length, depth = x.shape
    x = tf.reshape(x, (-1, length // 2, 2 * depth))
    return [x[..., :depth], x[..., depth:]]


def _lines(pairs):
    *_, tiles, depth = pairs[0].shape
    return tf.reshape(tf.stack(pairs, axis=2), (-1, 2 * tiles, depth))


def _shift_right(x):
    """Give each tile of (N, tiles, D) the values of the previous tile."""
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


# G along both axes, from taps (row, column) to points (column, row). One matmul takes
# half the time of an XLA kernel of sums.
TAPS_2D = np.einsum("ia,jb->jiab", TAPS, TAPS).reshape(16, 9).astype("float32")


def _kernel_to_points(w):
    points = tf.matmul(TAPS_2D, tf.reshape(w, (9, -1)))
    return [tf.reshape(points, (16, *w.shape[2:]))]


def _kernel_from_points(points):
    (points,) = points
    taps = tf.matmul(TAPS_2D.T, tf.reshape(points, (16, -1)))
    return tf.reshape(taps, (3, 3, *points.shape[1:]))
