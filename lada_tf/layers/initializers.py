"""Initializers of the layers."""

import math

import keras
import numpy as np
import scipy.linalg


def initializer_config(identifier):
    """An initializer (name, config or object) as its config.

    A Keras initializer object draws the same numbers each time it is called; passing
    its config on instead gives every weight an initializer, and so numbers, of its own.
    """
    # Made once: each initializer takes a seed from Keras' global ones.
    initializer = (
        Orthogonal()
        if identifier == "orthogonal"
        else keras.initializers.get(identifier)
    )
    if type(initializer) is keras.initializers.Orthogonal:
        initializer = Orthogonal.from_config(initializer.get_config())
    return keras.initializers.serialize(initializer)


@keras.saving.register_keras_serializable("lada_tf")
class Orthogonal(keras.initializers.Orthogonal):
    """Keras' own, of the same numbers up to rounding, in a third of the time.

    Its QR decomposition is LAPACK's instead of TensorFlow's, where there are numbers
    to decompose: in a traced graph there are none.
    """

    def __call__(self, shape, dtype=None):
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = (max(rows, columns), min(rows, columns))
        try:
            normal = np.asarray(keras.random.normal(tall, seed=self.seed))
        except (NotImplementedError, TypeError):
            return super().__call__(shape, dtype)
        q, r = scipy.linalg.qr(normal, mode="economic", check_finite=False)
        q = q * np.sign(np.diag(r))  # uniform among the orthogonal matrices
        q = q.T if rows < columns else q
        return keras.ops.convert_to_tensor(self.gain * q.reshape(shape), dtype)
