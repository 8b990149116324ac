"""Count the floating-point operations and bytes that a model needs."""

from typing import NamedTuple

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)
from tensorflow.python.util import deprecation

from lada_tf.layers.lada_attention import LadaAttention
from lada_tf.layers.window_attention import WindowAttention
from lada_tf.models.discriminator import GRID
from lada_tf.models.lada_gan import LadaGAN
from lada_tf.models.presets import PRESETS


def count_flops(model: keras.Model) -> int:
    """Return the FLOPs of one inference at batch size 1, as 2 × multiply-adds.

    TensorFlow's profiler counts matmuls, convolutions and biases in the frozen graph.
    LadaAttention and the decoder count as in the paper's equations and in the authors'
    code: with one query per token, which `LadaAttention` does not compute (a tenth less
    for the presets' generators), and with nine multiply-adds per pixel and channel
    where `UpSamplingConv2D` has four.

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
    saved = sum(_saved_by_attention(*each) for each in _blocks(model))
    return profile.total_float_ops + saved + _saved_by_decoder(model)


def _blocks(model):
    """Return pairs of an attention layer and its number of tokens."""
    if hasattr(model, "latent_dim"):
        grids = zip(model.blocks, model.resolutions, strict=True)
        return [(block.attention, side**2) for block, side in grids]
    return [] if model.attention == "conv" else [(model.block.attention, GRID**2)]


def _saved_by_attention(attention, tokens: int) -> int:
    """Return the FLOPs that `LadaAttention` saves on eqs 1-4; 0 for other layers."""
    windows = 1
    if isinstance(attention, WindowAttention):
        attention, windows = attention.attention, attention.windows**2
    if not isinstance(attention, LadaAttention):
        return 0
    width, heads = attention.query.units, attention.num_heads
    # The map, its bias, and the weighted sum per head.
    queries = 2 * tokens * width**2 + 3 * tokens * width
    # The composed map to the scores; the means of tokens, and their queries.
    instead = (1 + windows) * heads * width**2 + heads * tokens * width
    return queries - 2 * instead


def _saved_by_decoder(model) -> int:
    """Return the FLOPs that `UpSamplingConv2D` saves on a convolution of the ×2 map."""
    saved = 0
    for number, level in enumerate(getattr(model, "decoder", ())):
        side = model.resolutions[-1] * 2**number
        *_, channels, filters = level.convolution.kernel.shape
        products = 9 * (2 * side) ** 2 - 4 * 4 * (side + 1) ** 2
        saved += 2 * products * channels * filters
    return saved


class PaperCost(NamedTuple):
    """The figures of the paper's Tables II and V for a preset, as printed.

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


def training_bytes(gan: keras.Model) -> int:
    """Return the bytes that a training step needs besides activations, in float32.

    These are the weights, gradients and Adam moments of both networks, and the EMA
    generator.
    """
    parameters = gan.generator.count_params() + gan.discriminator.count_params()
    return 4 * (4 * parameters + gan.generator.count_params())


def preset_costs(name: str) -> dict[str, int]:
    """Return a preset's parameters, FLOPs per image, training steps and memory."""
    preset = PRESETS[name]
    # Zeros take no time, unlike orthogonal weights.
    gan = LadaGAN.from_preset(name, g_initializer="zeros", d_initializer="zeros")
    return {
        "generator_parameters": gan.generator.count_params(),
        "generator_flops": count_flops(gan.generator),
        "discriminator_parameters": gan.discriminator.count_params(),
        "discriminator_flops": count_flops(gan.discriminator),
        "total_images": preset.total_images,
        "steps": -(-preset.total_images // preset.batch_size),
        "training_bytes": training_bytes(gan),
    }
