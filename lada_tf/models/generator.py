"""The generator: from a latent to tokens to an image (eqs 9-13, Fig. 4a)."""

import itertools
import os
from typing import Any

import keras
from keras import ops

from lada_tf.kernels import Tensor
from lada_tf.layers._common import (
    check_input,
    initializer_config,
    network_dtype,
    positive_int,
)
from lada_tf.layers.attentions import check_trusted
from lada_tf.layers.batch_norm_leaky_relu import BatchNormLeakyReLU
from lada_tf.layers.fast_conv2d import FastConv2D
from lada_tf.layers.icnr import ICNR
from lada_tf.layers.ladaformer import Ladaformer
from lada_tf.layers.lee import LEE
from lada_tf.layers.pixel_shuffle import PixelShuffle
from lada_tf.layers.position_embedding import PositionEmbedding
from lada_tf.layers.up_sampling_conv2d import UpSamplingConv2D
from lada_tf.models.gradient_checkpointing import call_layer

OUTPUT_HEADS = ("pixel", "patch", "decoder")
MAX_STAGES = 16  # from 1×1 to 32,768×32,768


@keras.saving.register_keras_serializable("lada_tf")
class Generator(keras.Model):
    """LadaGAN's generator.

    A linear map turns the latent into a grid of `base_resolution`² tokens of width D₀.
    Each stage adds a learned position embedding and applies a Ladaformer, which the
    latent modulates. LEE doubles the grid between stages. An output head turns the last
    grid into an image, and ends with a 3×3 convolution to RGB:

    - `pixel`: the grid has the resolution of the image already.
    - `patch`: a pixel shuffle expands each token to a patch of the image.
    - `decoder`: each of `decoder_widths` adds nearest-neighbor ×2 upsampling, a 3×3
      convolution, batch normalization and LeakyReLU(0.2).

    Args:
        image_size: int, side of the image.
        widths: ints D₀, D₁, …, token width per stage. The pixel shuffle needs multiples
            of 4, except for the last one.
        output_head: `"pixel"`, `"patch"` or `"decoder"`.
        decoder_widths: ints, channels of the decoder's levels, for `"decoder"` only.
        num_heads: int, or one int per stage.
        mlp_dim: int, or one int per stage.
        latent_dim: int, length of a latent.
        base_resolution: int, side of the first grid.
        score: score form of the attention, see `LadaAttention`.
        attention: the attention layer, see `Ladaformer`.
        norm: `"sln"`, which the latent modulates, or `"layer_norm"`.
        mlp_residual: bool. If True, the MLPs have a residual connection.
        lee_convolution: bool. If False, a pixel shuffle alone doubles the grid, and
            each width must be a quarter of the previous one.
        initializer: initializer of every kernel and embedding.
        icnr: bool. If True, each layer before a pixel shuffle starts with the same
            weights for all sub-pixels (see `lada_tf.layers.ICNR`).
        sync_batch_norm: bool. If True, batch normalization uses the statistics of all
            replicas of a `tf.distribute` strategy.
        dtype: dtype policy. If None, Keras' global policy if it keeps weights in
            float32, as mixed precision does; else float32.

    Call arguments:
        latents: float tensor (B, latent_dim), standard normal.
        training: bool. If True, batch normalization uses and updates the statistics of
            the batch.
        return_attention_maps: bool. If True, also return the attention maps.
        gradient_checkpointing: bool. If True, recompute the activations of Ladaformers
            and decoder levels during the backward pass instead of storing them.

    Returns:
        Images, float32 (B, image_size, image_size, 3), about [-1, 1]: there is no tanh.
        With `return_attention_maps`, a pair of images and a list of one float32 tensor
        (B, heads, tokens) per stage.

    Raises:
        ValueError: if the sizes do not fit together. The message names them.

    Example:

    >>> generator = Generator(32, widths=(1024, 256, 64))
    >>> generator(keras.random.normal((2, 128))).shape
    (2, 32, 32, 3)

    Reference:
        Morales-Juarez and Fuentes-Pineda, arXiv:2401.09596, eqs 9-13 and Fig. 4a.
    """

    def __init__(
        self,
        image_size: int = 32,
        widths: tuple[int, ...] = (1024, 256, 64),
        output_head: str = "pixel",
        decoder_widths: tuple[int, ...] = (),
        num_heads: int | tuple[int, ...] = 4,
        mlp_dim: int | tuple[int, ...] = 512,
        latent_dim: int = 128,
        base_resolution: int = 8,
        score: str = "joint",
        attention: str = "lada",
        norm: str = "sln",
        mlp_residual: bool = False,
        lee_convolution: bool = True,
        initializer: str | dict = "orthogonal",
        icnr: bool = False,
        sync_batch_norm: bool = False,
        dtype: str | dict | keras.DTypePolicy | None = None,
        **kwargs,
    ):
        super().__init__(dtype=network_dtype(dtype), **kwargs)
        self.image_size = image_size
        self.widths = tuple(widths)
        self.output_head = output_head
        self.decoder_widths = tuple(decoder_widths)
        self.num_heads = _per_stage("num_heads", num_heads, len(self.widths))
        self.mlp_dim = _per_stage("mlp_dim", mlp_dim, len(self.widths))
        if len(self.widths) > MAX_STAGES:
            raise ValueError(
                f"widths has {len(self.widths)} stages, not 1 to {MAX_STAGES}"
            )
        self.latent_dim = positive_int("latent_dim", latent_dim)
        self.base_resolution = positive_int("base_resolution", base_resolution)
        self.score = score
        self.attention = attention
        self.norm = norm
        self.mlp_residual = mlp_residual
        self.lee_convolution = lee_convolution
        self.initializer = initializer_config(initializer)
        self.icnr = icnr
        self.sync_batch_norm = sync_batch_norm
        self.resolutions = [base_resolution * 2**i for i in range(len(self.widths))]
        self._check_sizes()

        dtype = self.dtype_policy
        self.latent_projection = keras.layers.Dense(
            base_resolution**2 * self.widths[0],
            use_bias=False,
            kernel_initializer=self.initializer,
            dtype=dtype,
            name="latent_projection",
        )
        self.position_embeddings = [
            PositionEmbedding(
                self.initializer, dtype=dtype, name=f"position_embedding_{side}"
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
                output_initializer=ICNR(self.initializer, factor) if icnr else None,
                dtype=dtype,
                name=f"block_{side}",
            )
            for heads, hidden, side, factor in zip(
                self.num_heads,
                self.mlp_dim,
                self.resolutions,
                self._shuffle_factors(),
                strict=True,
            )
        ]
        self.expansions = [
            LEE(width, self.initializer, dtype=dtype, name=f"lee_{side}")
            if lee_convolution
            else PixelShuffle(2, dtype=dtype, name=f"shuffle_{side}")
            for width, side in zip(self.widths[1:], self.resolutions[1:], strict=True)
        ]
        if output_head == "patch":
            patch = image_size // self.resolutions[-1]
            self.patch_shuffle = PixelShuffle(patch, dtype=dtype)
        self.decoder = [
            _DecoderLevel(
                width,
                self.initializer,
                sync_batch_norm,
                dtype=dtype,
                name=f"decoder_{i}",
            )
            for i, width in enumerate(self.decoder_widths)
        ]
        self.to_rgb = FastConv2D(
            3, kernel_initializer=self.initializer, dtype="float32", name="to_rgb"
        )

    def build(self, latents_shape: tuple | None = None) -> None:
        if self.built:  # type: ignore[has-type]  # in from_config
            return
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
        latents: Tensor,
        training: bool | None = None,
        return_attention_maps: bool = False,
        gradient_checkpointing: bool = False,
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        check_input(
            "latents",
            latents,
            (None, self.latent_dim),
            "draw them with keras.random.normal. The discriminator takes images",
        )
        z = (latents,) if self.norm == "sln" else ()  # inputs of each Ladaformer
        x = self.latent_projection(latents)  # (9) (B, N·D₀), N = base_resolution²
        maps = []
        for i, (side, width) in enumerate(
            zip(self.resolutions, self.widths, strict=True)
        ):
            if i > 0:
                x = self.expansions[i - 1](x)  # (11) (B, side, side, D)
            x = ops.reshape(x, (-1, side**2, width))  # (B, N, D)
            x = self.position_embeddings[i](x)
            x, stage_maps = call_layer(  # (10, 12) (B, N, D), (B, h, N)
                self.blocks[i],
                x,
                *z,
                return_attention_maps=True,
                recompute=gradient_checkpointing,
            )
            maps.append(stage_maps)
            x = ops.reshape(x, (-1, side, side, width))  # (B, side, side, D)
        if self.output_head == "patch":
            x = self.patch_shuffle(x)  # (B, image_size, image_size, C)
        for level in self.decoder:
            x = call_layer(  # (B, 2H, 2W, C)
                level, x, training=training, recompute=gradient_checkpointing
            )
        images = self.to_rgb(x)  # (13) (B, image_size, image_size, 3)
        return (images, maps) if return_attention_maps else images

    def export(self, filepath: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Export for any batch size, see `keras.Model.export`."""
        latents = keras.InputSpec("float32", (None, self.latent_dim), name="latents")
        super().export(filepath, *args, **{"input_signature": [latents], **kwargs})

    def _shuffle_factors(self):
        """Return the factor of the pixel shuffle after each stage, or 1 if none."""
        last = 1
        if self.output_head == "patch":
            last = self.image_size // self.resolutions[-1]
        return [2] * (len(self.widths) - 1) + [last]

    def _check_sizes(self):
        if self.output_head not in OUTPUT_HEADS:
            raise ValueError(
                f"output_head={self.output_head!r} is not one of {OUTPUT_HEADS}"
            )
        if not self.widths:
            raise ValueError("widths=() is empty: give one width per stage")
        if (self.output_head == "decoder") != bool(self.decoder_widths):
            raise ValueError(
                f"decoder_widths={self.decoder_widths} does not fit output_head="
                f"{self.output_head!r}: 'decoder' needs them, other heads have none"
            )
        if any(width % 4 for width in self.widths[:-1]):
            raise ValueError(
                f"widths={self.widths}: all but the last must be divisible by 4, "
                "because a pixel shuffle doubles the grid"
            )
        pairs = itertools.pairwise(self.widths)
        if not self.lee_convolution and any(a != 4 * b for a, b in pairs):
            raise ValueError(
                f"widths={self.widths} with lee_convolution=False: each width must be "
                "a quarter of the previous one"
            )
        self._check_image_size()

    def _check_image_size(self):
        grid = self.resolutions[-1]
        if self.output_head == "patch":
            fits, expected = self.image_size % grid == 0, f"multiples of {grid}"
            patch = self.image_size // grid
            if fits and (patch < 1 or self.widths[-1] % patch**2):
                raise ValueError(
                    f"widths={self.widths}: {patch}×{patch} patches need a last width "
                    f"divisible by {patch**2}"
                )
        else:
            size = grid * 2 ** len(self.decoder_widths)
            fits, expected = self.image_size == size, f"{size}"
        if not fits:
            levels = f" and {len(self.decoder_widths)} decoder widths"
            levels = levels if self.decoder_widths else ""
            raise ValueError(
                f"image_size={self.image_size} does not fit: {len(self.widths)} widths"
                f"{levels} from base_resolution={self.base_resolution} fit {expected} "
                "pixels. Add one width per doubling, or change image_size"
            )

    @property
    def output_shape(self) -> tuple:  # for `summary`
        return (None, self.image_size, self.image_size, 3)

    def get_config(self) -> dict:
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
            "icnr": self.icnr,
            "sync_batch_norm": self.sync_batch_norm,
        }

    @classmethod
    def from_config(cls, config: dict) -> "Generator":
        check_trusted(config.get("attention", "lada"))
        generator = cls(**config)
        generator.build()  # HDF5 files do not record that the model was built
        return generator


class _DecoderLevel(keras.layers.Layer):
    """Double a map: nearest ×2, 3×3 convolution, batch norm, LeakyReLU(0.2)."""

    def __init__(self, filters, initializer, sync_batch_norm, **kwargs):
        super().__init__(**kwargs)
        self.convolution = UpSamplingConv2D(
            filters, kernel_initializer=initializer, dtype=self.dtype_policy
        )
        self.norm = BatchNormLeakyReLU(
            synchronized=sync_batch_norm, dtype=self.dtype_policy
        )

    def build(self, inputs_shape):
        self.convolution.build(inputs_shape)
        self.norm.build(self.compute_output_shape(inputs_shape))

    def call(self, inputs, training=None):
        return self.norm(self.convolution(inputs), training=training)

    def compute_output_shape(self, inputs_shape):
        return self.convolution.compute_output_shape(inputs_shape)


def _per_stage(name, value, stages):
    """Return one value per stage, from an int or a sequence."""
    values = (value,) if isinstance(value, int) else tuple(value)
    if len(values) == 1:
        values *= stages
    if len(values) != stages:
        raise ValueError(
            f"{name}={values} does not fit {stages} stages: give one value, or one per "
            "stage"
        )
    return values
