"""Linear maps of tokens, each as one matrix product of all tokens of the batch."""

import keras
from keras import ops


def dense(owner, units, name, activation=None):
    """A `Dense` sublayer with the initializer and the dtype policy of its owner."""
    return _Dense(
        units,
        activation=activation,
        kernel_initializer=owner.kernel_initializer,
        dtype=owner.dtype_policy,
        name=name,
    )


def by_rows(function, x):
    """A function of rows, (R, D) → (R, E), applied to x (B, ..., D) → (B, ..., E).

    TensorFlow's graphs at inference fuse a product of two matrices with the bias and
    the GELU that follow it, unless a reshape lies between them.
    """
    if len(x.shape) == 2:
        return function(x)
    rows = function(ops.reshape(x, (-1, x.shape[-1])))
    return ops.reshape(rows, (-1, *ops.shape(x)[1:-1], rows.shape[-1]))


class _Dense(keras.layers.Dense):
    """`keras.layers.Dense`, whose own product of tokens computes shapes in the graph.

    LiteRT cannot convert that, or gives wrong numbers from the second call on (2.3,
    with its default delegate).
    """

    def call(self, inputs, training=None):
        return by_rows(super().call, inputs)
