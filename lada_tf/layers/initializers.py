"""Initializers that are shared between the weights of a layer."""

import keras


def initializer_config(identifier):
    """An initializer (name, config or object) as its config.

    A Keras initializer object draws the same numbers each time it is called; passing
    its config on instead gives every weight an initializer, and so numbers, of its own.
    """
    return keras.initializers.serialize(keras.initializers.get(identifier))
