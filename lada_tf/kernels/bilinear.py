"""Build convolutions from matmuls, with gradients that consist of the same matmuls.

A fast algorithm maps inputs x to matrices Xᵢ and a kernel w to matrices Wᵢ, multiplies
them, and maps the results XᵢWᵢ to the output y. All three maps are linear.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from lada_tf.kernels.xla_kernel import stop_gradients


class SplitJoin(NamedTuple):
    """A linear map from a tensor to matrices, and its transpose.

    For the outputs, `join` is the algorithm's own map and `split` is its transpose.
    """

    split: Callable  # tensor → list of (…, rows, columns)
    join: Callable  # such a list → tensor


def bilinear_op(inputs: SplitJoin, kernel: SplitJoin, outputs: SplitJoin) -> Callable:
    """Return the operation (x, w) → y of these maps, with derivatives of any order."""

    def to_outputs(x, w):
        factors = inputs.split(x)
        return outputs.join(_matmuls(factors, _run_after(factors, kernel.split, w)))

    def to_inputs(z, w):
        factors = outputs.split(z)
        x = _matmuls(factors, _run_after(factors, kernel.split, w), transpose_b=True)
        return inputs.join(x)

    def to_kernel(x, z):
        factors = outputs.split(z)
        w = _matmuls(_run_after(factors, inputs.split, x), factors, transpose_a=True)
        return kernel.join(w)

    # z has the shape of y. ⟨z, y⟩ is linear in x, w and z, and its gradient by one of
    # them is linear in the other two: each function's gradients are the other two.
    @tf.custom_gradient
    def y_of(x, w):
        def gradient(z):
            return _in_order((x_gradient, z, w), (w_gradient, x, z))

        return to_outputs(*stop_gradients((x, w))), gradient

    @tf.custom_gradient
    def x_gradient(z, w):
        def gradient(x):
            return _in_order((y_of, x, w), (w_gradient, x, z))

        return to_inputs(*stop_gradients((z, w))), gradient

    @tf.custom_gradient
    def w_gradient(x, z):
        def gradient(w):
            return _in_order((x_gradient, z, w), (y_of, x, w))

        return to_kernel(*stop_gradients((x, z))), gradient

    return y_of


def _matmuls(left, right, **transposed):
    return [tf.matmul(a, b, **transposed) for a, b in zip(left, right, strict=True)]


def _run_after(tensors, function, *arguments):
    """Call the function once the tensors are computed.

    Otherwise the graph computes it as soon as its inputs exist, and stores the result.
    """
    with tf.control_dependencies(tensors):
        return function(*arguments)


def _in_order(first, second):
    """Call two (function, *arguments), the second after the first.

    The gradient by the kernel comes second, because it may not be needed at all.
    """
    function, *arguments = first
    result = function(*arguments)
    return result, _run_after([result], *second)
