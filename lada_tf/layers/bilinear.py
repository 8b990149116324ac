"""Convolutions made of matrix products, with gradients that are made of the same.

A fast algorithm takes the inputs x apart into matrices Xᵢ and the kernel w into
matrices Wᵢ, and puts the outputs together from the products Xᵢ Wᵢ. All three maps are
linear.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras

from lada_tf.layers.fused import unrecorded

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


class Parts(NamedTuple):
    """A linear map of a tensor to matrices, and its transpose."""

    apart: Callable  # tensor → list of (…, rows, columns)
    together: Callable  # the same list → tensor


def bilinear(inputs, kernel, outputs):
    """The function (x, w) → y of such an algorithm, with derivatives of any order.

    ⟨z, y⟩ is linear in x, in w and in z. Its gradient by one of them is again linear in
    the other two: three functions, of the same maps, are one another's gradients.

    Args:
        inputs: `Parts` of x.
        kernel: `Parts` of w.
        outputs: `Parts` of y, of which `together` is the algorithm's.
    """

    @tf.custom_gradient
    def to_outputs(x, w):
        def gradient(z):
            return _in_turn((to_inputs, z, w), (to_kernel, x, z))

        x_, w_ = unrecorded((x, w))
        factors = inputs.apart(x_)
        y = _products(factors, _then(factors, kernel.apart, w_))
        return outputs.together(y), gradient

    @tf.custom_gradient
    def to_inputs(z, w):
        def gradient(x):
            return _in_turn((to_outputs, x, w), (to_kernel, x, z))

        z_, w_ = unrecorded((z, w))
        factors = outputs.apart(z_)
        x = _products(factors, _then(factors, kernel.apart, w_), transpose_b=True)
        return inputs.together(x), gradient

    @tf.custom_gradient
    def to_kernel(x, z):
        def gradient(w):
            return _in_turn((to_inputs, z, w), (to_outputs, x, w))

        x_, z_ = unrecorded((x, z))
        factors = outputs.apart(z_)
        w = _products(_then(factors, inputs.apart, x_), factors, transpose_a=True)
        return kernel.together(w), gradient

    return to_outputs


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
