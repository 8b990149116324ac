"""Keras layers of LadaGAN and of its ablations, for any Keras 3 backend."""

from lada_tf.layers.batch_norm_leaky_relu import BatchNormLeakyReLU
from lada_tf.layers.diff_augment import DiffAugment
from lada_tf.layers.dot_product_attention import DotProductAttention
from lada_tf.layers.fast_conv2d import FastConv2D
from lada_tf.layers.fastformer_attention import FastformerAttention
from lada_tf.layers.icnr import ICNR
from lada_tf.layers.lada_attention import LadaAttention
from lada_tf.layers.ladaformer import Ladaformer
from lada_tf.layers.lee import LEE
from lada_tf.layers.linformer_attention import LinformerAttention
from lada_tf.layers.pixel_shuffle import PixelShuffle
from lada_tf.layers.position_embedding import PositionEmbedding
from lada_tf.layers.sln import SLN
from lada_tf.layers.space_to_depth import SpaceToDepth
from lada_tf.layers.up_sampling_conv2d import UpSamplingConv2D
from lada_tf.layers.window_attention import WindowAttention

__all__ = [
    "ICNR",
    "LEE",
    "SLN",
    "BatchNormLeakyReLU",
    "DiffAugment",
    "DotProductAttention",
    "FastConv2D",
    "FastformerAttention",
    "LadaAttention",
    "Ladaformer",
    "LinformerAttention",
    "PixelShuffle",
    "PositionEmbedding",
    "SpaceToDepth",
    "UpSamplingConv2D",
    "WindowAttention",
]
