"""Orthogonal initialization that is faster than Keras'."""

import functools
import math

import keras
import numpy as np


@keras.saving.register_keras_serializable("lada_tf")
class Orthogonal(keras.initializers.Orthogonal):
    """`keras.initializers.Orthogonal` with NumPy and LAPACK: equal up to rounding.

    A traced graph has no numbers to decompose, so Keras' own code runs there.
    """

    def __call__(self, shape, dtype=None):
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = (max(rows, columns), min(rows, columns))
        try:
            normal = np.asarray(
                keras.random.normal(tall, dtype="float32", seed=self.seed)
            )
        except (NotImplementedError, TypeError):
            return super().__call__(shape, dtype)
        # Use one BLAS thread. More threads do not speed up small matrices, and their
        # busy-waiting slows down other processes.
        with _blas_libraries().limit(limits=1, user_api="blas"):
            q = _orthonormal(normal)
        q = q.T if rows < columns else q
        return keras.ops.convert_to_tensor(self.gain * q.reshape(shape), dtype)


@functools.cache
def _blas_libraries():
    import scipy.linalg  # noqa: F401  the controller finds only loaded libraries
    import threadpoolctl

    return threadpoolctl.ThreadpoolController()


def _orthonormal(normal):
    """Return Q of the QR decomposition in which R has a positive diagonal.

    If the matrix is normally distributed, Q is uniformly distributed among the
    orthogonal matrices.
    """
    rows, columns = normal.shape
    if rows < 2 * columns:
        import scipy.linalg  # here, because it takes as long as all our layers

        q, r = scipy.linalg.qr(normal, mode="economic", check_finite=False)
        return q * np.sign(np.diag(r))
    # A tall normal matrix A has nearly orthogonal columns: its condition number is
    # about 6 or less. The Gram matrix AᵀA = RᵀR, which squares it, is therefore safe.
    gram = (normal.T @ normal).astype("float64")
    r = np.linalg.cholesky(gram).T
    return normal @ np.linalg.inv(r).astype(normal.dtype)
