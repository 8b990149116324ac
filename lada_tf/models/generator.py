"""The generator: latent to tokens to image (eqs 9-13, Fig. 4a)."""

import functools
import itertools

import keras
from keras import ops

from lada_tf.kernels.orthogonal import initializer_config
from lada_tf.layers import LEE, Ladaformer, PixelShuffle, PositionEmbedding
from lada_tf.layers.fast_conv2d import FastConv2D
from lada_tf.models.decoder_level import DecoderLevel
from lada_tf.models.gradient_checkpointing import recomputed

HEADS = ("pixel", "patch", "decoder")


@keras.saving.register_keras_serializable("lada_tf")
class Generator(keras.Model):
    """LadaGAN's generator.

    The latent is mapped to a grid of `base_resolution`² tokens of width D₀. Each stage
    adds a learned position embedding and runs one Ladaformer modulated by the latent;
    LEE doubles the grid between stages. The last grid becomes an image by one of three
    heads:

    - `pixel`: the grid has the image's resolution; 3×3 convolution to RGB.
    - `patch`: pixel shuffle up to the image's resolution, then the convolution.
    - `decoder`: for each of `decoder_widths`, nearest ×2, 3×3 convolution, batch
      normalization, LeakyReLU(0.2); then the convolution.

    Args:
        image_size: int, side of the image.
        widths: ints D₀, D₁, …, the token width of each stage. All but the last have to
            be divisible by 4 (pixel shuffle).
        output_head: `"pixel"`, `"patch"` or `"decoder"`.
        decoder_widths: ints, channels of the decoder's levels; only with its head.
        num_heads: int, or one int a stage.
        mlp_dim: int, or one int a stage.
        latent_dim: int, length of a latent.
        base_resolution: int, side of the first grid.
        score: score form of the attention, see `LadaAttention`.
        attention: the attention, see `Ladaformer`.
        norm: `"sln"`, modulated by the latent, or `"layer_norm"`.
        mlp_residual: bool, whether the MLPs have a residual connection.
        lee_convolution: bool. If False, pixel shuffle alone grows the grid, and each
            width has to be a quarter of the one before.
        initializer: initializer of every kernel and embedding.
        sync_batch_norm: bool, whether batch normalization takes the statistics of all
            replicas of a `tf.distribute` strategy.

    Call arguments:
        latents: float tensor (B, latent_dim), standard normal.
        training: bool, whether the decoder's batch normalization uses and updates the
            statistics of the batch; see `Ladaformer` too.
        return_attention_maps: bool. If True, returns the attention maps too.
        gradient_checkpointing: bool, whether gradients compute the Ladaformers and the decoder's
            levels again, of which then only the inputs are kept in memory.

    Returns:
        Images, float32 (B, image_size, image_size, 3), linear (no tanh), meant for
        [-1, 1]. With `return_attention_maps`, the pair of them and a list with one
        float32 tensor (B, heads, tokens) a stage.

    Raises:
        ValueError: if the sizes do not fit together; the message says which.

    Example:

    >>> generator = Generator(32, widths=(1024, 256, 64))
    >>> generator(keras.random.normal((2, 128))).shape
    (2, 32, 32, 3)
    """

    def __init__(
        self,
        image_size=32,
        widths=(1024, 256, 64),
        output_head="pixel",
        decoder_widths=(),
        num_heads=4,
        mlp_dim=512,
        latent_dim=128,
        base_resolution=8,
        score="joint",
        attention="lada",
        norm="sln",
        mlp_residual=False,
        lee_convolution=True,
        initializer="orthogonal",
        sync_batch_norm=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.image_size = image_size
        self.widths = tuple(widths)
        self.output_head = output_head
        self.decoder_widths = tuple(decoder_widths)
        self.num_heads = _per_stage("num_heads", num_heads, len(self.widths))
        self.mlp_dim = _per_stage("mlp_dim", mlp_dim, len(self.widths))
        self.latent_dim = latent_dim
        self.base_resolution = base_resolution
        self.score = score
        self.attention = attention
        self.norm = norm
        self.mlp_residual = mlp_residual
        self.lee_convolution = lee_convolution
        self.initializer = initializer_config(initializer)
        self.sync_batch_norm = sync_batch_norm
        self.resolutions = [base_resolution * 2**i for i in range(len(self.widths))]
        self._check_sizes()

        self.latent_projection = keras.layers.Dense(  # eq 9
            base_resolution**2 * self.widths[0],
            use_bias=False,
            kernel_initializer=self.initializer,
            dtype=self.dtype_policy,
            name="latent_projection",
        )
        self.position_embeddings = [
            PositionEmbedding(
                self.initializer,
                dtype=self.dtype_policy,
                name=f"position_embedding_{side}",
            )
            for side in self.resolutions
        ]
        self.blocks = [
            Ladaformer(
                heads,
                hidden,
                norm=norm,
                mlp_residual=mlp_residual,
                score=score,
                attention=attention,
                kernel_initializer=self.initializer,
                dtype=self.dtype_policy,
                name=f"block_{side}",
            )
            for heads, hidden, side in zip(
                self.num_heads, self.mlp_dim, self.resolutions, strict=True
            )
        ]
        self.expansions = [
            LEE(width, self.initializer, dtype=self.dtype_policy, name=f"lee_{side}")
            if lee_convolution
            else PixelShuffle(2, dtype=self.dtype_policy, name=f"shuffle_{side}")
            for width, side in zip(self.widths[1:], self.resolutions[1:], strict=True)
        ]
        if output_head == "patch":
            self.patch_shuffle = PixelShuffle(
                image_size // self.resolutions[-1], dtype=self.dtype_policy
            )
        self.decoder = [
            DecoderLevel(
                width,
                self.initializer,
                sync_batch_norm,
                dtype=self.dtype_policy,
                name=f"decoder_{i}",
            )
            for i, width in enumerate(self.decoder_widths)
        ]
        self.to_rgb = FastConv2D(
            3,
            kernel_initializer=self.initializer,
            dtype="float32",
            name="to_rgb",
        )

    def build(self, latents_shape=None):
        latents = (None, self.latent_dim)
        self.latent_projection.build(latents)
        for i, (side, width) in enumerate(
            zip(self.resolutions, self.widths, strict=True)
        ):
            tokens = (None, side**2, width)
            if i > 0:
                half = side // 2
                self.expansions[i - 1].build((None, half, half, self.widths[i - 1]))
            self.position_embeddings[i].build(tokens)
            self.blocks[i].build(tokens, latents if self.norm == "sln" else None)
        shape = (None, self.resolutions[-1], self.resolutions[-1], self.widths[-1])
        if self.output_head == "patch":
            self.patch_shuffle.build(shape)
            shape = self.patch_shuffle.compute_output_shape(shape)
        for level in self.decoder:
            level.build(shape)
            shape = level.compute_output_shape(shape)
        self.to_rgb.build(shape)
        self.built = True

    def call(
        self,
        latents,
        training=None,
        return_attention_maps=False,
        gradient_checkpointing=False,
    ):
        def stage(layer, **arguments):
            function = functools.partial(layer, **arguments)
            return recomputed(function) if gradient_checkpointing else function

        x = self._first_tokens(latents)
        modulation = (latents,) if self.norm == "sln" else ()
        maps = []
        for i, (side, width) in enumerate(
            zip(self.resolutions, self.widths, strict=True)
        ):
            if i > 0:
                x = self.expansions[i - 1](x)  # eq 11
            x = ops.reshape(x, (-1, side**2, width))
            if i > 0:
                x = self.position_embeddings[i](x)  # eq 10
            block = stage(self.blocks[i], training=training, return_attention_maps=True)
            x, stage_maps = block(x, *modulation)
            maps.append(stage_maps)
            x = ops.reshape(x, (-1, side, side, width))
        if self.output_head == "patch":
            x = self.patch_shuffle(x)
        for level in self.decoder:
            x = stage(level, training=training)(x)
        images = self.to_rgb(x, training=training)
        return (images, maps) if return_attention_maps else images

    def _first_tokens(self, latents):
        """z W + E (eqs 9-10), (B, N·D).

        With the embedding as its bias TensorFlow makes one operation of the product.
        """
        embeddings = ops.reshape(self.position_embeddings[0].embeddings, (-1,))
        x = self.latent_projection(latents)
        return ops.add(x, ops.cast(embeddings, x.dtype))

    def _check_sizes(self):
        if self.output_head not in HEADS:
            raise ValueError(f"output_head={self.output_head!r} is not one of {HEADS}")
        if not self.widths:
            raise ValueError("widths is empty: a generator has at least one stage")
        if (self.output_head == "decoder") != bool(self.decoder_widths):
            raise ValueError(
                f"decoder_widths={self.decoder_widths} with output_head={self.output_head!r}: the "
                "decoder head needs them and the others take none"
            )
        for width, heads in zip(self.widths, self.num_heads, strict=True):
            if width % heads:
                raise ValueError(f"num_heads {heads} does not divide the width {width}")
        for width in self.widths[:-1]:
            if width % 4:
                raise ValueError(f"pixel shuffle needs widths by 4, not {width}")
        pairs = itertools.pairwise(self.widths)
        if not self.lee_convolution and any(a != 4 * b for a, b in pairs):
            raise ValueError(
                f"widths={self.widths} with lee_convolution=False: pixel shuffle alone "
                "makes each width a quarter of the one before"
            )
        grid = self.resolutions[-1]
        if self.output_head == "patch":
            fits = self.image_size % grid == 0
            patch = self.image_size // grid
            if fits and (patch < 1 or self.widths[-1] % patch**2):
                raise ValueError(
                    f"{patch}×{patch} patches need a last width that {patch**2} "
                    f"divides, not {self.widths[-1]}"
                )
        else:
            fits = self.image_size == grid * 2 ** len(self.decoder_widths)
        if not fits:
            raise ValueError(
                f"image_size={self.image_size} does not fit: {len(self.widths)} stages "
                f"from {self.base_resolution}×{self.base_resolution} end at "
                f"{grid}×{grid}, and output_head={self.output_head!r} has "
                f"{len(self.decoder_widths)} decoder levels"
            )

    def compute_output_shape(self, latents_shape):
        return (latents_shape[0], self.image_size, self.image_size, 3)

    def get_config(self):
        return {
            **super().get_config(),
            "image_size": self.image_size,
            "widths": list(self.widths),
            "output_head": self.output_head,
            "decoder_widths": list(self.decoder_widths),
            "num_heads": list(self.num_heads),
            "mlp_dim": list(self.mlp_dim),
            "latent_dim": self.latent_dim,
            "base_resolution": self.base_resolution,
            "score": self.score,
            "attention": self.attention,
            "norm": self.norm,
            "mlp_residual": self.mlp_residual,
            "lee_convolution": self.lee_convolution,
            "initializer": self.initializer,
            "sync_batch_norm": self.sync_batch_norm,
        }


def _per_stage(name, value, stages):
    """One int for all stages, or one for each, as a tuple."""
    values = (value,) if isinstance(value, int) else tuple(value)
    if len(values) == 1:
        values *= stages
    if len(values) != stages:
        raise ValueError(f"{name}={values} for {stages} stages: give one, or one each")
    return values
