"""What a model costs: floating-point operations and multiply-adds of one image."""

from typing import NamedTuple

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)
from tensorflow.python.util import deprecation


def count_flops(model: keras.Model) -> int:
    """FLOPs of one inference at batch size 1, as 2 × multiply-adds.

    Counted by TensorFlow's profiler on the frozen graph: matrix products,
    convolutions and biases.

    Args:
        model: a built `Generator` or `Discriminator`.
    """
    shape = (
        (1, model.latent_dim)
        if hasattr(model, "latent_dim")
        else (1, model.image_size, model.image_size, 3)
    )
    infer = tf.function(lambda x: model(x, training=False))
    concrete = infer.get_concrete_function(tf.TensorSpec(shape, tf.float32))
    graph = convert_variables_to_constants_v2(concrete).graph.as_graph_def()
    with tf.Graph().as_default() as frozen, deprecation.silence():
        tf.graph_util.import_graph_def(graph, name="")
        options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        options["output"] = "none"
        profile = tf.compat.v1.profiler.profile(frozen, options=options)
    return profile.total_float_ops


class PaperCost(NamedTuple):
    """What the paper's Tables II and V say of a preset, in its own words.

    Its "FLOPs" are multiply-adds, cut (not rounded) to one decimal.
    """

    g_parameters: str
    g_flops: str
    d_flops: str


PAPER_COSTS = {
    "cifar10": PaperCost("19M", "0.7B", "0.7B"),
    "celeba64": PaperCost("19M", "0.7B", "0.9B"),
    "ffhq128": PaperCost("24M", "4.3B", "1.1B"),
    "bedroom128": PaperCost("24M", "4.3B", "1.1B"),
    "bedroom256": PaperCost("24M", "5.5B", "not given"),
}


def training_bytes(gan) -> int:
    """Bytes of what a training step keeps beside activations, in float32.

    Weights, gradients and Adam's two moments of both players, and the averaged
    generator.
    """
    players = gan.generator.count_params() + gan.discriminator.count_params()
    return 4 * (4 * players + gan.generator.count_params())
