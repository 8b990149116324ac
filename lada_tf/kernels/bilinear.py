"""Build convolutions from matmuls, and each gradient from as many matmuls.

A fast algorithm has three linear maps: from the inputs x to matrices Xᵢ, from the
kernel w to matrices Wᵢ, and from the products XᵢWᵢ to the outputs y.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from lada_tf.kernels.xla_kernel import stop_gradients


class SplitJoin(NamedTuple):
    """A linear map from a tensor to matrices, and its transpose.

    For inputs and kernels, `split` is the map of the algorithm and `join` is its
    transpose. For outputs, it is the other way around.
    """

    split: Callable  # tensor → list of (…, rows, columns)
    join: Callable  # such a list → tensor


def bilinear_op(inputs: SplitJoin, kernel: SplitJoin, outputs: SplitJoin) -> Callable:
    """Return the operation (x, w) → y of three maps, with derivatives of any order."""

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

    # Let z have the shape of y. ⟨z, y⟩ is linear in x, in w and in z. Its gradients are
    # y (by z), x_gradient (by x) and w_gradient (by w). The gradients of each of these
    # three functions are therefore the other two.
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
    """Call a function in the graph after the tensors are computed.

    Otherwise, the graph could run it much earlier and keep the result in memory.
    """
    with tf.control_dependencies(tensors):
        return function(*arguments)


def _in_order(first, second):
    """Call two functions, given as (function, *arguments), the second after the first.

    Pass the gradient by the kernel second: if it is not needed, the graph skips it.
    """
    function, *arguments = first
    result = function(*arguments)
    return result, _run_after([result], *second)
