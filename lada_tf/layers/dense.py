"""A linear map inside one of our layers."""

import keras


def dense(owner, units, name, activation=None):
    """A `Dense` sublayer with the initializer and the dtype policy of its owner."""
    return keras.layers.Dense(
        units,
        activation=activation,
        kernel_initializer=owner.kernel_initializer,
        dtype=owner.dtype_policy,
        name=name,
    )
