"""Build convolutions from matmuls, with gradients that consist of the same matmuls.

A fast algorithm splits the inputs x into matrices Xᵢ and the kernel w into matrices Wᵢ,
and joins the products Xᵢ Wᵢ to the outputs y. All three maps are linear.
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


class BilinearOp(NamedTuple):
    """The three functions that map two of x, w and z to a tensor like the third.

    z has the shape of the outputs y. Each function is linear in both arguments.
    """

    to_outputs: Callable  # (x, w) → y
    to_inputs: Callable  # (z, w) → gradient of ⟨z, y⟩ by x
    to_kernel: Callable  # (x, z) → gradient of ⟨z, y⟩ by w


def matmul_op(inputs: SplitJoin, kernel: SplitJoin, outputs: SplitJoin) -> BilinearOp:
    """Return the differentiable operation that these three maps define."""

    def to_outputs(x, w):
        factors = inputs.split(x)
        return outputs.join(_matmuls(factors, _after(factors, kernel.split, w)))

    def to_inputs(z, w):
        factors = outputs.split(z)
        x = _matmuls(factors, _after(factors, kernel.split, w), transpose_b=True)
        return inputs.join(x)

    def to_kernel(x, z):
        factors = outputs.split(z)
        w = _matmuls(_after(factors, inputs.split, x), factors, transpose_a=True)
        return kernel.join(w)

    return differentiable_op(to_outputs, to_inputs, to_kernel)


def differentiable_op(
    to_outputs: Callable, to_inputs: Callable, to_kernel: Callable
) -> BilinearOp:
    """Return the three functions with derivatives of any order.

    ⟨z, y⟩ is linear in x, in w and in z, and its gradient by one of them is linear in
    the other two. Each function's gradients are therefore the other two functions.
    """

    @tf.custom_gradient
    def outputs(x, w):
        def gradient(z):
            return _in_order((inputs, z, w), (kernel, x, z))

        return to_outputs(*stop_gradients((x, w))), gradient

    @tf.custom_gradient
    def inputs(z, w):
        def gradient(x):
            return _in_order((outputs, x, w), (kernel, x, z))

        return to_inputs(*stop_gradients((z, w))), gradient

    @tf.custom_gradient
    def kernel(x, z):
        def gradient(w):
            return _in_order((inputs, z, w), (outputs, x, w))

        return to_kernel(*stop_gradients((x, z))), gradient

    return BilinearOp(outputs, inputs, kernel)


def _matmuls(left, right, **transposed):
    return [tf.matmul(a, b, **transposed) for a, b in zip(left, right, strict=True)]


def _after(tensors, function, *arguments):
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
    return result, _after([result], *second)
