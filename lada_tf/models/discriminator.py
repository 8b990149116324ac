"""The discriminator: convolutions down to 16×16, then a Ladaformer (Fig. 4b)."""

import functools
from collections.abc import Callable

import keras
from keras import ops

from lada_tf.kernels.orthogonal import initializer_config
from lada_tf.layers import Ladaformer, PositionEmbedding, SpaceToDepth
from lada_tf.layers.attentions import check_attention
from lada_tf.layers.fast_conv2d import FastConv2D
from lada_tf.layers.leaky_relu import leaky_relu
from lada_tf.models.down_block import DownBlock, in_parts
from lada_tf.models.gradient_checkpointing import recomputed

GRID = 16  # side of the map that the down blocks end at
CONV_WIDTH = 512


@keras.saving.register_keras_serializable("lada_tf")
class Discriminator(keras.Model):
    """LadaGAN's discriminator, and the convolutional one of its ablations.

    A 3×3 convolution, then `DownBlock`s that halve the image down to 16×16. Of those
    256 positions, kind `lada` makes tokens: position embedding, Ladaformer,
    SpaceToDepth to 8×8, 3×3 convolution; other kinds have another attention there. Kind
    `conv` has one more down block, to 512 channels, in the place of all this. The 8×8
    map ends as 5×5 logits.

    Args:
        image_size: int, side of the images: 16 · 2^k, k ≥ 1.
        widths: ints, channels of the first convolution and of each down block: k + 1.
        attention: `"conv"`, or an attention layer of `Ladaformer`: `"lada"`, ….
        out_widths: two ints, channels of the last two hidden maps (`conv` has the first
            fixed at 512).
        num_heads: int, heads of the attention.
        mlp_dim: int, hidden width of the Ladaformer's MLP.
        batch_norm: bool, whether the down blocks normalize (the paper's ablations with
            kind `conv` do not).
        score: score form of the attention, see `LadaAttention`.
        initializer: initializer of every kernel and embedding.
        sync_batch_norm: bool, whether batch normalization takes the statistics of all
            replicas of a `tf.distribute` strategy.

    Call arguments:
        images: float tensor (B, image_size, image_size, 3) in [-1, 1].
        training: bool, whether batch normalization uses and updates the statistics of
            the batch; see `Ladaformer` too.
        gradient_checkpointing: bool, whether gradients compute the stages again, of which then only
            the inputs are kept in memory.
        parts: int, parts of the batch that convolutions and attention are computed in,
            so that threads can compute them at once; batch normalization is of all.

    Returns:
        Logits, float32 (B, 25), one for each cell of a 5×5 map; positive for real.

    Raises:
        ValueError: if the sizes do not fit together; the message says which.

    Example:

    >>> discriminator = Discriminator(32, widths=(128, 256))
    >>> discriminator(keras.random.uniform((2, 32, 32, 3), -1, 1)).shape
    (2, 25)
    """

    def __init__(
        self,
        image_size=32,
        widths=(128, 256),
        attention="lada",
        out_widths=(512, 1024),
        num_heads=4,
        mlp_dim=512,
        batch_norm=True,
        score="joint",
        initializer="orthogonal",
        sync_batch_norm=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.image_size = image_size
        self.widths = tuple(widths)
        self.attention = attention
        self.out_widths = tuple(out_widths)
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.batch_norm = batch_norm
        self.score = score
        self.initializer = initializer_config(initializer)
        self.sync_batch_norm = sync_batch_norm
        self._check_sizes()

        self.input_convolution = FastConv2D(
            self.widths[0],
            use_bias=False,
            kernel_initializer=self.initializer,
            dtype=self.dtype_policy,
            name="input",
        )
        down_widths = list(self.widths[1:])
        if attention == "conv":
            down_widths.append(CONV_WIDTH)
        self.down_blocks = [
            DownBlock(
                width,
                batch_norm,
                self.initializer,
                sync_batch_norm,
                dtype=self.dtype_policy,
                name=f"down_{i}",
            )
            for i, width in enumerate(down_widths)
        ]
        if attention != "conv":
            self.position_embedding = PositionEmbedding(
                self.initializer, dtype=self.dtype_policy
            )
            self.block = Ladaformer(
                num_heads,
                mlp_dim,
                norm="layer_norm",
                mlp_residual=True,
                score=score,
                attention=attention,
                kernel_initializer=self.initializer,
                dtype=self.dtype_policy,
                name="block",
            )
            self.space_to_depth = SpaceToDepth(2, dtype=self.dtype_policy)
            self.merge = FastConv2D(
                self.out_widths[0],
                kernel_initializer=self.initializer,
                dtype=self.dtype_policy,
                name="merge",
            )
        self.hidden_convolution = keras.layers.Conv2D(
            self.out_widths[1],
            1,
            use_bias=False,
            data_format="channels_last",
            kernel_initializer=self.initializer,
            dtype=self.dtype_policy,
            name="hidden",
        )
        self.to_logits = FastConv2D(
            1,
            4,
            padding="valid",
            use_bias=False,
            kernel_initializer=self.initializer,
            dtype="float32",
            name="to_logits",
        )

    def build(self, images_shape=None):
        shape = (None, self.image_size, self.image_size, 3)
        self.input_convolution.build(shape)
        shape = (*shape[:3], self.widths[0])
        for block in self.down_blocks:
            block.build(shape)
            shape = block.compute_output_shape(shape)
        if self.attention != "conv":
            tokens = (None, GRID**2, self.widths[-1])
            self.position_embedding.build(tokens)
            self.block.build(tokens)
            shape = self.space_to_depth.compute_output_shape(shape)
            self.merge.build(shape)
            shape = (*shape[:3], self.out_widths[0])
        self.hidden_convolution.build(shape)
        self.to_logits.build((*shape[:3], self.out_widths[1]))
        self.built = True

    def call(self, images, training=None, gradient_checkpointing=False, parts=1):
        x = images
        for stage in self.stages(training, parts):
            x = (recomputed(stage) if gradient_checkpointing else stage)(x)
        return x

    def stages(self, training=None, parts=1):
        """The parts that the discriminator is a chain of: callables, tensor → tensor.

        Images go into the first one, and logits come out of the last one.
        """
        stages: list[Callable] = [self._stem, *self.down_blocks, self._tail]
        return [
            functools.partial(stage, training=training, parts=parts) for stage in stages
        ]

    def _stem(self, images, training, parts):
        del parts  # it takes less time than to split and to join again
        return leaky_relu(self.input_convolution(images, training=training))

    def _tail(self, x, training, parts):
        return in_parts(lambda part: self._logits(part, training), x, parts)

    def _logits(self, x, training):
        if self.attention != "conv":
            x = ops.reshape(x, (-1, GRID**2, self.widths[-1]))
            x = self.block(self.position_embedding(x), training=training)
            x = ops.reshape(x, (-1, GRID, GRID, self.widths[-1]))
            x = self.space_to_depth(x)
            x = self.merge(x, training=training)  # (B, 8, 8, 512), no activation
        x = leaky_relu(self.hidden_convolution(x))
        return ops.reshape(self.to_logits(x, training=training), (-1, 25))

    def _check_sizes(self):
        if self.attention != "conv":
            check_attention(self.attention)
        if len(self.widths) < 2 or self.image_size != GRID * 2 ** (
            len(self.widths) - 1
        ):
            raise ValueError(
                f"image_size={self.image_size} does not fit {len(self.widths)} "
                f"widths {self.widths}: the down blocks, one less, have to end at "
                f"{GRID}×{GRID}"
            )
        if len(self.out_widths) != 2:
            raise ValueError(f"out_widths={self.out_widths} should be two widths")
        if self.attention != "conv" and self.widths[-1] % self.num_heads:
            raise ValueError(
                f"num_heads {self.num_heads} does not divide the width "
                f"{self.widths[-1]}"
            )

    def compute_output_shape(self, images_shape):
        return (images_shape[0], 25)

    def get_config(self):
        return {
            **super().get_config(),
            "image_size": self.image_size,
            "widths": list(self.widths),
            "attention": self.attention,
            "out_widths": list(self.out_widths),
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp_dim,
            "batch_norm": self.batch_norm,
            "score": self.score,
            "initializer": self.initializer,
            "sync_batch_norm": self.sync_batch_norm,
        }
