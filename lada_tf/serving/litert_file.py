"""A generator as a LiteRT (TensorFlow Lite) file."""

import tensorflow as tf

from lada_tf.models.networks import in_precision
from lada_tf.serving.graph import as_module, forward_function


def write_litert(generator, path, precision: str = "float32") -> None:
    """Writes a generator for LiteRT, with the builtin operations alone.

    Its one signature takes `latents`, float32 (batch, latent_dim), any batch, and gives
    the outputs of `forward_function`.

    Args:
        generator: a built `Generator`.
        path: path of the file.
        precision: of the stored weights: `"float32"`, `"float16"`, or `"int8"`, where
            products are 8-bit too (dynamic range quantization).
    """
    generator = in_precision(generator)
    function = forward_function(generator)
    module = as_module(generator, forward=function)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], module
    )
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    path.write_bytes(converter.convert())
