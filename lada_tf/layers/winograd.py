"""3×3 convolutions with half the products: Winograd's minimal filtering.

Along a line, two neighbouring outputs y of a filter w are made of P products instead of
six (arXiv:1509.09308, section 4):

    y = Aᵀ [(G w) ⊙ (Bᵀ x)]

where x are the inputs under it, and A, G and B small constant matrices. On a map this
is done along both axes, and over channels each of the P² products is one of matrices,
of all tiles of the batch. What is saved is multiply-adds, of which the results need to
be equal up to rounding; what it costs is to write B's part and to read A's, in several
times the memory of the map, so that channels have to be many.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import keras

from lada_tf.layers.fused import fused

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


class Matrix(NamedTuple):
    """A linear map along the first axis that is more than a batch, and its transpose.

    Of lines: (N, length, D) → (P, N, tiles, D) for B, (P, N, tiles, D) → (N, 2·tiles,
    D) for A. Of taps: (3, ...) → (P, ...) for G.
    """

    times: Callable
    transposed: Callable


class Filter(NamedTuple):
    """A minimal algorithm of a filter of three taps, with two outputs a tile."""

    points: int  # P
    inputs_per_tile: int
    data: Matrix  # Bᵀ
    taps: Matrix  # G
    outputs: Matrix  # Aᵀ


def convolve(inputs, kernel, algorithm):
    """A convolution of 3×3, stride 1, zero padding to the same size.

    It can be differentiated any number of times. To be called where
    `fused.on_processor()`.

    Args:
        inputs: float32 (B, H, W, C), with H, W and C known; H and W are multiples of
            `algorithm.inputs_per_tile`.
        kernel: float32 (3, 3, C, K).
        algorithm: `F23`, or `DOUBLING` for the convolution of the inputs doubled by
            nearest neighbours.

    Returns:
        float32 (B, 2H / inputs_per_tile, 2W / inputs_per_tile, K).
    """
    _, height, width, _ = inputs.shape
    kernel = tf.convert_to_tensor(kernel)
    return _convolution(algorithm, height, width)(inputs, kernel)


@functools.cache
def _convolution(algorithm, height, width):
    """(inputs, kernel) → outputs, for maps of that size.

    With `y = conv(x, w)`, ⟨z, conv(x, w)⟩ is linear in each of x, w and z. What it is
    multiplied with is its gradient by that one, which again is linear in the other two.
    """
    data, taps, outputs = _on_maps(algorithm, height, width)

    @tf.custom_gradient
    def to_outputs(x, w):
        points = data.times(x)
        y = outputs.times(tf.matmul(points, _then(points, taps.times, w)))
        return y, lambda z: _in_turn((to_inputs, z, w), (to_kernel, x, z))

    @tf.custom_gradient
    def to_inputs(z, w):
        points = outputs.transposed(z)
        kernel = _then(points, taps.times, w)
        x = data.transposed(tf.matmul(points, kernel, transpose_b=True))
        return x, lambda x: _in_turn((to_outputs, x, w), (to_kernel, x, z))

    @tf.custom_gradient
    def to_kernel(x, z):
        points = outputs.transposed(z)
        inputs = _then(points, data.times, x)
        w = taps.transposed(tf.matmul(inputs, points, transpose_a=True))
        return w, lambda w: _in_turn((to_inputs, z, w), (to_outputs, x, w))

    return to_outputs


def _then(first, function, *arguments):
    """function(*arguments), not before `first` is there.

    A graph would otherwise make early what it has the inputs of, and keep it.
    """
    with tf.control_dependencies([first]):
        return function(*arguments)


def _in_turn(first, second):
    """Results of two (function, *arguments), of which the second waits for the first.

    In this order, since the gradient by a kernel may not be needed at all.
    """
    function, *arguments = first
    result = function(*arguments)
    return result, _then(result, *second)


@functools.cache
def _on_maps(algorithm, height, width):
    """Bᵀ, G and Aᵀ along both axes of maps, each as a kernel that XLA makes.

    Points are (P², B · tiles, channels), of a kernel (P², C, K).
    """
    points = algorithm.points
    down, across = (side // algorithm.inputs_per_tile for side in (height, width))

    def to_points(times, height, width):
        def apply(x):
            channels = x.shape[-1]
            rows = times(tf.reshape(x, (-1, height, width * channels)))
            columns = times(tf.reshape(rows, (-1, width, channels)))
            return tf.reshape(columns, (points**2, -1, channels))

        return fused(apply, derivatives=0)

    def from_points(times, height, width):
        def apply(x):
            channels = x.shape[-1]
            columns = times(tf.reshape(x, (points, -1, across, channels)))
            rows = times(tf.reshape(columns, (points, -1, down, width * channels)))
            return tf.reshape(rows, (-1, height, width, channels))

        return fused(apply, derivatives=0)

    size, out_size = (height, width), (2 * down, 2 * across)
    return (
        Matrix(
            to_points(algorithm.data.times, *size),
            from_points(algorithm.data.transposed, *size),
        ),
        _on_kernels(algorithm),
        Matrix(
            from_points(algorithm.outputs.times, *out_size),
            to_points(algorithm.outputs.transposed, *out_size),
        ),
    )


@functools.cache
def _on_kernels(algorithm):
    points = algorithm.points

    def along_both(times, x):
        return times(tf.transpose(times(x), (1, 0, 2, 3)))

    def to_points(w):
        u = along_both(algorithm.taps.times, w)
        return tf.reshape(u, (points**2, *w.shape[2:]))

    def from_points(u):
        u = tf.reshape(u, (points, points, *u.shape[1:]))
        return along_both(algorithm.taps.transposed, u)

    return Matrix(fused(to_points, derivatives=0), fused(from_points, derivatives=0))


def _halves(x):
    """(N, 2T, D) → of all pairs of pixels the first and the second ones, (N, T, D)."""
    _, length, depth = x.shape
    pairs = tf.reshape(x, (-1, length // 2, 2 * depth))
    return pairs[..., :depth], pairs[..., depth:]


def _from_halves(first, second):
    _, tiles, depth = first.shape
    return tf.reshape(tf.stack((first, second), axis=2), (-1, 2 * tiles, depth))


def _before(x):
    """Of each place on the lines what is at the one before it, 0 of the first."""
    return tf.pad(x[:, :-1], ((0, 0), (1, 0), (0, 0)))


def _after(x):
    return tf.pad(x[:, 1:], ((0, 0), (0, 1), (0, 0)))


def _f23_data(x):
    first, second = _halves(x)  # and about them, of other tiles, one pixel each
    return tf.stack(
        (
            _before(second) - second,
            first + second,
            second - first,
            first - _after(first),
        )
    )


def _f23_data_transposed(points):
    a, b, c, d = tf.unstack(points)
    return _from_halves(b - c + d - _before(d), b + c - a + _after(a))


def _f23_taps(w):
    a, b, c = tf.unstack(w)
    outer, inner = (a + c) / 2, b / 2
    return tf.stack((a, outer + inner, outer - inner, c))


def _f23_taps_transposed(points):
    a, b, c, d = tf.unstack(points)
    outer = (b + c) / 2
    return tf.stack((a + outer, (b - c) / 2, outer + d))


def _f23_outputs(points):
    a, b, c, d = tf.unstack(points)
    return _from_halves(a + b + c, b - c - d)


def _f23_outputs_transposed(y):
    first, second = _halves(y)
    return tf.stack((first, first + second, first - second, -second))


def _doubling_data(x):
    return tf.stack((_before(x) - x, x, _after(x) - x))


def _doubling_data_transposed(points):
    a, b, c = tf.unstack(points)
    return b - a - c + _after(a) + _before(c)


def _doubling_taps(w):
    a, b, c = tf.unstack(w)
    return tf.stack((a, a + b + c, c))


def _doubling_taps_transposed(points):
    a, b, c = tf.unstack(points)
    return tf.stack((a + b, b, b + c))


def _doubling_outputs(points):
    a, b, c = tf.unstack(points)
    return _from_halves(a + b, b + c)


def _doubling_outputs_transposed(y):
    first, second = _halves(y)
    return tf.stack((first, first + second, second))


# F(2, 3): four products for two outputs, 16 of 36 on a map.
F23 = Filter(
    points=4,
    inputs_per_tile=2,
    data=Matrix(_f23_data, _f23_data_transposed),
    taps=Matrix(_f23_taps, _f23_taps_transposed),
    outputs=Matrix(_f23_outputs, _f23_outputs_transposed),
)
# A pixel x and its double lie between the pixels before and after them. The taps
# (a, b, c) make of these a·before + (b + c)·x and (a + b)·x + c·after, which are
# a·(before - x) + (a + b + c)·x and (a + b + c)·x + c·(after - x): three products, 9 of
# 36 on a map.
DOUBLING = Filter(
    points=3,
    inputs_per_tile=1,
    data=Matrix(_doubling_data, _doubling_data_transposed),
    taps=Matrix(_doubling_taps, _doubling_taps_transposed),
    outputs=Matrix(_doubling_outputs, _doubling_outputs_transposed),
)
