"""The layers, usable in any Keras 3 model and on any of its backends."""

from lada_tf.layers.diff_augment import DiffAugment
from lada_tf.layers.lada_attention import LadaAttention
from lada_tf.layers.ladaformer import Ladaformer
from lada_tf.layers.lee import LEE, PixelShuffle
from lada_tf.layers.position_embedding import PositionEmbedding
from lada_tf.layers.sln import SLN
from lada_tf.layers.space_to_depth import SpaceToDepth

__all__ = [
    "LEE",
    "SLN",
    "DiffAugment",
    "LadaAttention",
    "Ladaformer",
    "PixelShuffle",
    "PositionEmbedding",
    "SpaceToDepth",
]
