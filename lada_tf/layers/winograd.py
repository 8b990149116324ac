"""3×3 convolutions with half the products: Winograd's minimal filtering.

Along a line, the two outputs y of a tile, under a filter of three taps w, are made of P
products instead of six (arXiv:1509.09308, eq 5):

    y = Aᵀ [(G w) ⊙ (Bᵀ x)]

where x are the inputs that the tile sees, and A, B and G small constant matrices. On a
map this is done along both axes; over channels, each of the P² products is one of
matrices, with a row for each tile of the batch. The results are those of the definition
up to rounding. What it costs is writing Bᵀx and reading what Aᵀ sums, several times the
map each, so that channels have to be many.
"""

import functools
import operator
from collections.abc import Callable
from typing import NamedTuple

import keras

from lada_tf.layers.fused import fused

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


class Filter(NamedTuple):
    """A minimal algorithm: its matrices, as rows, and what belongs to a tile."""

    pixels: int  # of the input; a tile sees one more on either side
    data: tuple[tuple[float, ...], ...]  # Bᵀ, P × (pixels + 2)
    taps: tuple[tuple[float, ...], ...]  # G, P × 3
    outputs: tuple[tuple[float, ...], ...]  # Aᵀ, 2 × P


# F(2, 3): four products for two outputs, on a map 16 of 36.
F23 = Filter(
    pixels=2,
    data=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    taps=((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
    outputs=((1, 1, 1, 0), (0, 1, -1, -1)),
)
# A line doubled by nearest neighbours has (before, x, x, after) about the doubles of a
# pixel x, and taps (a, b, c) make of it
#     a·before + (b + c)·x  =  a·(before - x) + (a + b + c)·x
#     (a + b)·x + c·after   =  (a + b + c)·x + c·(after - x):
# three products, on a map 9 of 36.
DOUBLING = Filter(
    pixels=1,
    data=((1, -1, 0), (0, 1, 0), (0, -1, 1)),
    taps=((1, 0, 0), (1, 1, 1), (0, 0, 1)),
    outputs=((1, 1, 0), (0, 1, 1)),
)


def convolve(inputs, kernel, algorithm):
    """A 3×3 convolution of stride 1, padded with zeros to the same size.

    It can be differentiated any number of times. For `fused.on_processor()` alone.

    Args:
        inputs: float32 (B, H, W, C), with H, W and C known; H and W are multiples of
            `algorithm.pixels`.
        kernel: float32 (3, 3, C, K).
        algorithm: `F23`, or `DOUBLING` for the convolution of the inputs doubled by
            nearest neighbours.

    Returns:
        float32 (B, H, W, K), or with `DOUBLING` (B, 2H, 2W, K).
    """
    _, height, width, _ = inputs.shape
    kernel = tf.convert_to_tensor(kernel)
    return _convolution(algorithm, height, width)(inputs, kernel)


@functools.cache
def _convolution(algorithm, height, width):
    """(inputs, kernel) → outputs, for maps of that size.

    ⟨z, conv(x, w)⟩ is linear in x, in w and in z. Its gradient by one of them is again
    linear in the other two: three functions, each made of the three maps or of their
    transposes, are one another's gradients.
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


class _Map(NamedTuple):
    """A linear map and its transpose, each a kernel that XLA makes."""

    times: Callable
    transposed: Callable


@functools.cache
def _on_maps(algorithm, height, width):
    """Bᵀ, G and Aᵀ along both axes of maps.

    Of maps they make points (P², B · tiles, channels), of kernels (P², C, K).
    """
    points = len(algorithm.data)
    down, across = height // algorithm.pixels, width // algorithm.pixels

    def to_points(along_lines, height, width):
        def apply(x):
            channels = x.shape[-1]
            rows = along_lines(tf.reshape(x, (-1, height, width * channels)))
            columns = along_lines(tf.reshape(rows, (-1, width, channels)))
            return tf.reshape(columns, (points**2, -1, channels))

        return fused(apply, derivatives=0)

    def from_points(along_lines, height, width):
        def apply(x):
            channels = x.shape[-1]
            columns = along_lines(tf.reshape(x, (points, -1, across, channels)))
            rows = tf.reshape(columns, (points, -1, down, width * channels))
            return tf.reshape(along_lines(rows), (-1, height, width, channels))

        return fused(apply, derivatives=0)

    def data(x):  # (N, length, D) → (P, N, tiles, D)
        return tf.stack(_product(algorithm.data, _tiles(x, algorithm.pixels)))

    def data_transposed(x):
        return _sum_of_tiles(_product(_transposed(algorithm.data), tf.unstack(x)))

    def outputs(x):  # (P, N, tiles, D) → (N, 2 · tiles, D)
        return _joined(_product(algorithm.outputs, tf.unstack(x)))

    def outputs_transposed(x):
        return tf.stack(_product(_transposed(algorithm.outputs), _split(x, 2)))

    size, out_size = (height, width), (2 * down, 2 * across)
    return (
        _Map(to_points(data, *size), from_points(data_transposed, *size)),
        _on_kernels(algorithm.taps),
        _Map(from_points(outputs, *out_size), to_points(outputs_transposed, *out_size)),
    )


@functools.cache
def _on_kernels(taps):
    def along_both(matrix, x):
        rows = tf.stack(_product(matrix, tf.unstack(x)))
        return tf.stack(_product(matrix, tf.unstack(rows, axis=1)))

    def times(w):
        return tf.reshape(along_both(taps, w), (-1, *w.shape[2:]))

    def transposed(u):
        u = tf.reshape(u, (len(taps), len(taps), *u.shape[1:]))
        return along_both(_transposed(taps), u)

    return _Map(fused(times, derivatives=0), fused(transposed, derivatives=0))


def _product(matrix, vector):
    """Of a matrix and a vector of tensors."""

    def term(entry, x):
        return x if entry == 1 else -x if entry == -1 else entry * x

    def row_sum(row):
        terms = (term(*pair) for pair in zip(row, vector, strict=True) if pair[0])
        return functools.reduce(operator.add, terms)

    return [row_sum(row) for row in matrix]


def _transposed(matrix):
    return tuple(zip(*matrix, strict=True))


def _tiles(x, pixels):
    """Lines (N, length, D) → what tiles see, `pixels` + 2 tensors (N, tiles, D)."""
    own = _split(x, pixels)
    return [_one_on(own[-1]), *own, _one_back(own[0])]


def _sum_of_tiles(seen):
    """The transpose of `_tiles`."""
    before, *own, after = seen
    own[-1] += _one_back(before)
    own[0] += _one_on(after)
    return _joined(own)


def _split(x, parts):
    """Lines (N, length, D) → every parts-th pixel from each of the first ones on."""
    *_, length, depth = x.shape
    x = tf.reshape(x, (-1, length // parts, parts * depth))
    return [x[..., i * depth : (i + 1) * depth] for i in range(parts)]


def _joined(parts):
    *_, tiles, depth = parts[0].shape
    return tf.reshape(tf.stack(parts, axis=2), (-1, len(parts) * tiles, depth))


def _one_on(x):
    """(N, tiles, D), of which each tile gets what the one before it had."""
    return tf.pad(x[:, :-1], ((0, 0), (1, 0), (0, 0)))


def _one_back(x):
    return tf.pad(x[:, 1:], ((0, 0), (0, 1), (0, 0)))
