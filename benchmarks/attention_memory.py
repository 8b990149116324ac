"""A worker that measures the memory of an attention layer's forward and backward pass.

Settings: the layer's name, a key of `benchmarks.attention.LAYERS`.
"""

from benchmarks.attention import FEW_TOKENS, LAYERS, WIDTH, forward_and_backward
from benchmarks.worker import resident_mb, serve, timed
from lada_tf import app  # noqa: F401  imports TensorFlow quietly


def start(name):
    import tensorflow as tf

    step = forward_and_backward(LAYERS[name]())

    def grown_mb(tokens):
        """Return how much the process grows while it runs."""
        before = resident_mb()
        inputs = tf.random.normal((1, tokens, WIDTH))
        return timed(lambda: step(inputs)[0].numpy())["peak_mb"] - before

    return grown_mb(FEW_TOKENS), {"grown_mb": grown_mb}


if __name__ == "__main__":
    serve(start)
