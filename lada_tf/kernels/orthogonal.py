"""Initializers of the layers."""

import functools
import math

import keras
import numpy as np
import scipy.linalg
import threadpoolctl


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
    """Keras' own, of the same numbers up to rounding, in less time.

    Its QR decomposition is NumPy's and LAPACK's instead of TensorFlow's, where there
    are numbers to decompose: in a traced graph there are none.
    """

    def __call__(self, shape, dtype=None):
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = (max(rows, columns), min(rows, columns))
        try:
            normal = np.asarray(keras.random.normal(tall, seed=self.seed))
        except (NotImplementedError, TypeError):
            return super().__call__(shape, dtype)
        # Threads gain nothing on small matrices, and wait for one another actively: of
        # several processes at once each would take six times as long.
        with _libraries().limit(limits=1, user_api="blas"):
            q = _orthonormal(normal)
        q = q.T if rows < columns else q
        return keras.ops.convert_to_tensor(self.gain * q.reshape(shape), dtype)


@functools.cache
def _libraries():
    """NumPy's and SciPy's, whose threads can be limited; found once."""
    return threadpoolctl.ThreadpoolController()


def _orthonormal(normal):
    """Q of normal numbers' QR decomposition in which R's diagonal is positive.

    Such a Q is uniform among the orthogonal matrices.
    """
    rows, columns = normal.shape
    if rows < 2 * columns:
        q, r = scipy.linalg.qr(normal, mode="economic", check_finite=False)
        return q * np.sign(np.diag(r))
    # Twice as many numbers as columns have these nearly orthogonal (condition number
    # about 6 or less), so that squaring it in the Gram matrix AᵀA = RᵀR does no harm.
    gram = (normal.T @ normal).astype("float64")
    r = np.linalg.cholesky(gram).T
    return normal @ np.linalg.inv(r).astype(normal.dtype)
