"""Count the parameters, floating-point operations and bytes of a model."""

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
    To compare with the paper, this adds the operations that our layers save:

    - `LadaAttention` computes no query per token, unlike eqs 1-2.
    - `UpSamplingConv2D` needs four multiply-adds per pixel and channel instead of nine.

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
    """Return a pair of each attention layer and its number of tokens."""
    if hasattr(model, "latent_dim"):
        grids = zip(model.blocks, model.resolutions, strict=True)
        return [(block.attention, side**2) for block, side in grids]
    return [] if model.attention == "conv" else [(model.block.attention, GRID**2)]


def _saved_by_attention(attention, tokens: int) -> int:
    """Return the FLOPs that `LadaAttention` saves in eqs 1-2; 0 for other layers."""
    windows = 1
    if isinstance(attention, WindowAttention):
        attention, windows = attention.attention, attention.windows**2
    if not isinstance(attention, LadaAttention):
        return 0
    width, heads = attention.query.units, attention.num_heads
    # Eqs 1-2 compute the queries, add the bias, and sum them per head.
    queries = 2 * tokens * width**2 + 3 * tokens * width
    # The layer multiplies two kernels, averages tokens, and computes their queries.
    instead = (1 + windows) * heads * width**2 + heads * tokens * width
    return queries - 2 * instead


def _saved_by_decoder(model) -> int:
    """Return the FLOPs that `UpSamplingConv2D` saves by its 2×2 kernels."""
    saved = 0
    for number, level in enumerate(getattr(model, "decoder", ())):
        side = model.resolutions[-1] * 2**number
        *_, channels, filters = level.convolution.kernel.shape
        multiply_adds = 9 * (2 * side) ** 2 - 4 * 4 * (side + 1) ** 2
        saved += 2 * multiply_adds * channels * filters
    return saved


class PaperCost(NamedTuple):
    """Figures of a preset, as printed in the paper's Tables II and V.

    The paper's "FLOPs" are multiply-adds, truncated to one decimal.
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
    """Return the bytes of a training step in float32, without activations.

    They hold the weights, gradients and two Adam moments of both networks, and the EMA
    generator.
    """
    parameters = gan.generator.count_params() + gan.discriminator.count_params()
    return 4 * (4 * parameters + gan.generator.count_params())


def preset_costs(name: str) -> dict[str, int]:
    """Return a preset's parameters, FLOPs per image, training steps and memory."""
    preset = PRESETS[name]
    # Zeros take less time to create than orthogonal weights.
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
