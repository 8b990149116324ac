"""Convolutions made of matrix products, with gradients that are made of the same.

A fast algorithm takes the inputs x apart into matrices Xᵢ and the kernel w into
matrices Wᵢ, and puts the outputs together from the products Xᵢ Wᵢ. All three maps are
linear.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras

from lada_tf.kernels.xla_kernel import unrecorded

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


class Parts(NamedTuple):
    """A linear map of a tensor to matrices, and its transpose."""

    apart: Callable  # tensor → list of (…, rows, columns)
    together: Callable  # the same list → tensor


class Trilinear(NamedTuple):
    """Functions of two of x, w and z, linear in both, that make the third."""

    to_outputs: Callable  # (x, w) → y
    to_inputs: Callable  # (z, w) → the gradient of ⟨z, y⟩ by x
    to_kernel: Callable  # (x, z) → its gradient by w


def bilinear(inputs, kernel, outputs):
    """The functions of such an algorithm, with derivatives of any order.

    Args:
        inputs: `Parts` of x.
        kernel: `Parts` of w.
        outputs: `Parts` of y, of which `together` is the algorithm's.

    Returns:
        `Trilinear`.
    """

    def to_outputs(x, w):
        factors = inputs.apart(x)
        return outputs.together(_products(factors, _then(factors, kernel.apart, w)))

    def to_inputs(z, w):
        factors = outputs.apart(z)
        x = _products(factors, _then(factors, kernel.apart, w), transpose_b=True)
        return inputs.together(x)

    def to_kernel(x, z):
        factors = outputs.apart(z)
        w = _products(_then(factors, inputs.apart, x), factors, transpose_a=True)
        return kernel.together(w)

    return trilinear(to_outputs, to_inputs, to_kernel)


def trilinear(to_outputs, to_inputs, to_kernel):
    """The three functions, as one another's gradients.

    ⟨z, y⟩ is linear in x, in w and in z, and its gradient by one of them is again
    linear in the other two.

    Args:
        to_outputs, to_inputs, to_kernel: callables, as of `Trilinear`.

    Returns:
        `Trilinear`, with derivatives of any order.
    """

    @tf.custom_gradient
    def outputs(x, w):
        def gradient(z):
            return _in_turn((inputs, z, w), (kernel, x, z))

        return to_outputs(*unrecorded((x, w))), gradient

    @tf.custom_gradient
    def inputs(z, w):
        def gradient(x):
            return _in_turn((outputs, x, w), (kernel, x, z))

        return to_inputs(*unrecorded((z, w))), gradient

    @tf.custom_gradient
    def kernel(x, z):
        def gradient(w):
            return _in_turn((inputs, z, w), (outputs, x, w))

        return to_kernel(*unrecorded((x, z))), gradient

    return Trilinear(outputs, inputs, kernel)


def _products(left, right, **transposed):
    return [tf.matmul(a, b, **transposed) for a, b in zip(left, right, strict=True)]


def _then(first, function, *arguments):
    """function(*arguments), not before all of `first` are there.

    A graph would otherwise make early what it has the inputs of, and keep it.
    """
    with tf.control_dependencies(first):
        return function(*arguments)


def _in_turn(first, second):
    """Results of two (function, *arguments), of which the second waits for the first.

    In this order, since the gradient by a kernel may not be needed at all.
    """
    function, *arguments = first
    result = function(*arguments)
    return result, _then([result], *second)
