"""The discriminator: convolutions to 16×16, then a Ladaformer (Fig. 4b)."""

from collections.abc import Callable

import keras
from keras import ops

from lada_tf import kernels
from lada_tf.errors import UserError
from lada_tf.layers._common import initializer_config, network_dtype
from lada_tf.layers.attentions import check_trusted
from lada_tf.layers.batch_norm_leaky_relu import BatchNormLeakyReLU
from lada_tf.layers.fast_conv2d import FastConv2D
from lada_tf.layers.ladaformer import Ladaformer
from lada_tf.layers.position_embedding import PositionEmbedding
from lada_tf.layers.space_to_depth import SpaceToDepth
from lada_tf.models.gradient_checkpointing import call_layer
from lada_tf.models.images import check_images

GRID = 16  # side of the map after the down blocks


@keras.saving.register_keras_serializable("lada_tf")
class Discriminator(keras.Model):
    """LadaGAN's discriminator.

    A 3×3 convolution and down blocks reduce the image to 16×16, which are 256 tokens. A
    position embedding, a Ladaformer, SpaceToDepth and a 3×3 convolution follow, and
    give an 8×8 map. Two convolutions turn it into 5×5 logits.

    With `attention="conv"`, a down block replaces the layers from 16×16 to 8×8. The
    paper's ablations use this discriminator, without batch normalization.

    Args:
        image_size: int, side of the images: 16 · 2^k with k ≥ 1.
        widths: k + 1 ints, channels of the first convolution and of each down block.
        attention: the attention layer, see `Ladaformer`, or `"conv"`.
        out_widths: two ints, channels of the last two hidden maps.
        num_heads: int, heads of the attention.
        mlp_dim: int, hidden width of the Ladaformer's MLP.
        batch_norm: bool. If True, the down blocks use batch normalization.
        score: see `Generator`.
        initializer: see `Generator`.
        sync_batch_norm: see `Generator`.
        dtype: see `Generator`.

    Call arguments:
        images: float tensor (B, image_size, image_size, 3) in [-1, 1].
        training: bool. If True, batch normalization uses and updates the statistics of
            the batch.
        gradient_checkpointing: bool. If True, recompute activations during the backward
            pass instead of storing them.

    Returns:
        Logits, float32 (B, 25), one per cell of a 5×5 map. Positive means real.

    Raises:
        ValueError: if the sizes do not fit together, or the images have another size.
            The message names them.

    Example:

    >>> discriminator = Discriminator(32, widths=(128, 256))
    >>> discriminator(keras.random.uniform((2, 32, 32, 3), -1, 1)).shape
    (2, 25)

    Reference:
        Morales-Juarez and Fuentes-Pineda, arXiv:2401.09596, Fig. 4b.
    """

    def __init__(
        self,
        image_size: int = 32,
        widths: tuple[int, ...] = (128, 256),
        attention: str = "lada",
        out_widths: tuple[int, ...] = (512, 1024),
        num_heads: int = 4,
        mlp_dim: int = 512,
        batch_norm: bool = True,
        score: str = "joint",
        initializer: str | dict = "orthogonal",
        sync_batch_norm: bool = False,
        dtype: str | dict | keras.DTypePolicy | None = None,
        **kwargs,
    ):
        super().__init__(dtype=network_dtype(dtype), **kwargs)
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

        options = {"kernel_initializer": self.initializer, "dtype": self.dtype_policy}
        self.input_convolution = FastConv2D(
            self.widths[0], use_bias=False, name="input", **options
        )
        extra_widths = self.out_widths[:1] if attention == "conv" else ()
        self.down_blocks = [
            _DownBlock(width, batch_norm, sync_batch_norm, name=f"down_{i}", **options)
            for i, width in enumerate((*self.widths[1:], *extra_widths))
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
                name="block",
                **options,
            )
            self.space_to_depth = SpaceToDepth(2, dtype=self.dtype_policy)
            self.merge = FastConv2D(self.out_widths[0], name="merge", **options)
        self.hidden_convolution = FastConv2D(
            self.out_widths[1], 1, use_bias=False, name="hidden", **options
        )
        options["dtype"] = "float32"
        self.to_logits = FastConv2D(
            1, 4, padding="valid", use_bias=False, name="to_logits", **options
        )

    def build(self, images_shape: tuple | None = None) -> None:
        if self.built:  # type: ignore[has-type]  # in from_config
            return
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
            self.space_to_depth.build(shape)
            shape = self.space_to_depth.compute_output_shape(shape)
            self.merge.build(shape)
            shape = (*shape[:3], self.out_widths[0])
        self.hidden_convolution.build(shape)
        self.to_logits.build((*shape[:3], self.out_widths[1]))
        self.built = True

    def call(
        self,
        images: kernels.Tensor,
        training: bool | None = None,
        gradient_checkpointing: bool = False,
    ) -> kernels.Tensor:
        check_images(images, self.image_size)
        x = images
        for stage in self.stages(training):
            x = call_layer(stage, x, recompute=gradient_checkpointing)
        return x  # (B, 25)

    def stages(self, training: bool | None = None) -> list[Callable]:
        """Return the callables, tensor → tensor, that `call` applies in order."""

        def in_mode(block):
            return lambda x: block(x, training=training)

        return [self._stem, *map(in_mode, self.down_blocks), self._logits]

    def freeze(self, num_stages: int) -> None:
        """Freeze the stages of the highest resolution (FreezeD).

        Their weights and the moving statistics of their batch normalization no longer
        change. Call this method before `compile`.

        Args:
            num_stages: int. The first convolution is the first stage, followed by the
                down blocks.

        Raises:
            UserError: if there are fewer stages.

        Reference:
            Mo et al., "Freeze the discriminator: a simple baseline for fine-tuning
            GANs", arXiv:2002.10964.
        """
        stages: list[keras.Layer] = [self.input_convolution, *self.down_blocks]
        if not 0 <= num_stages <= len(stages):
            raise UserError(
                f"freeze_d={num_stages}: this discriminator has {len(stages)} stages "
                "that can be frozen"
            )
        for stage in stages[:num_stages]:
            stage.trainable = False

    def _stem(self, images):
        x = self.input_convolution(images)  # (B, H, W, widths[0])
        return kernels.leaky_relu(x)

    def _logits(self, x):
        if self.attention != "conv":
            x = ops.reshape(x, (-1, GRID**2, self.widths[-1]))  # (B, 256, D)
            x = self.block(self.position_embedding(x))  # (B, 256, D)
            x = ops.reshape(x, (-1, GRID, GRID, self.widths[-1]))  # (B, 16, 16, D)
            x = self.space_to_depth(x)  # (B, 8, 8, 4D)
            x = self.merge(x)  # (B, 8, 8, 512), no activation
        x = kernels.leaky_relu(self.hidden_convolution(x))  # (B, 8, 8, 1024)
        return ops.reshape(self.to_logits(x), (-1, 25))  # from (B, 5, 5, 1)

    def _check_sizes(self):
        blocks = len(self.widths) - 1
        if blocks < 1 or self.image_size != GRID * 2**blocks:
            advice = "set at least 2 widths"
            if blocks >= 1:
                advice = (
                    f"{blocks + 1} widths fit {GRID * 2**blocks} pixels. Add one width "
                    "per doubling, or change image_size"
                )
            raise ValueError(
                f"image_size={self.image_size} does not fit widths={self.widths}: "
                f"{advice}"
            )
        if len(self.out_widths) != 2:
            raise ValueError(f"out_widths={self.out_widths} must be two widths")

    @property
    def output_shape(self) -> tuple:  # for `summary`
        return (None, 25)

    def get_config(self) -> dict:
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

    @classmethod
    def from_config(cls, config: dict) -> "Discriminator":
        check_trusted(config.get("attention", "lada"))
        discriminator = cls(**config)
        discriminator.build()  # HDF5 files do not record that the model was built
        return discriminator


class _DownBlock(keras.layers.Layer):
    """Halve a map: the mean of a main path and a direct path (FastGAN).

    main: 3×3 convolution with stride 2, norm, LeakyReLU, 3×3 convolution, norm,
    LeakyReLU
    direct: 2×2 average pool, 1×1 convolution, norm, LeakyReLU

    The convolutions have no biases. Normalization is optional.

    Reference:
        Liu et al., "Towards faster and stabilized GAN training for high-fidelity
        few-shot image synthesis", arXiv:2101.04775.
    """

    def __init__(
        self, filters, batch_norm, sync_batch_norm, kernel_initializer, **kwargs
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.pool = keras.layers.AveragePooling2D(
            2, data_format="channels_last", dtype=self.dtype_policy
        )
        options = {
            "use_bias": False,
            "kernel_initializer": kernel_initializer,
            "dtype": self.dtype_policy,
        }
        self.convolutions = [
            FastConv2D(filters, 3, strides=2, name="main_0", **options),
            FastConv2D(filters, 3, name="main_1", **options),
            FastConv2D(filters, 1, name="direct", **options),
        ]
        self.norms = [
            BatchNormLeakyReLU(
                synchronized=sync_batch_norm, dtype=self.dtype_policy, name=f"norm_{i}"
            )
            for i in range(3 if batch_norm else 0)
        ]

    def build(self, inputs_shape):
        output_shape = self.compute_output_shape(inputs_shape)
        for convolution, shape in zip(
            self.convolutions, (inputs_shape, output_shape, inputs_shape), strict=True
        ):
            convolution.build(shape)
        for norm in self.norms:
            norm.build(output_shape)

    def call(self, inputs, training=None):
        def conv_norm_activation(i, x):
            x = self.convolutions[i](x)
            if self.norms:
                return self.norms[i](x, training=training)
            return kernels.leaky_relu(x)

        x = conv_norm_activation(0, inputs)  # (B, H/2, W/2, filters)
        main = conv_norm_activation(1, x)
        direct = conv_norm_activation(2, self.pool(inputs))
        return (main + direct) / 2

    def compute_output_shape(self, inputs_shape):
        batch, height, width, _ = inputs_shape
        return (batch, height // 2, width // 2, self.filters)
