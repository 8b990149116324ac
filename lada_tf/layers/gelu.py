"""The exact GELU, x Φ(x) with the normal distribution's Φ (arXiv:1606.08415)."""

from keras import ops

from lada_tf.kernels.xla_kernel import fused


def gelu(x):
    """GELU of a float tensor, in its shape and dtype.

    Written with `erf`, since other runtimes lack the `Erfc` of Keras' own; in this
    form LiteRT knows it, and TensorFlow fuses it with the product before it.
    """
    return 0.5 * x * (1 + ops.erf(x * 0.5**0.5))


fused_gelu = fused(gelu)
