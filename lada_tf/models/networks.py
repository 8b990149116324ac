"""The two networks of a preset."""

from lada_tf.models.discriminator import Discriminator
from lada_tf.models.generator import Generator
from lada_tf.models.presets import Preset

# What the networks compute in, as the dtype policies of Keras: weights are float32.
PRECISIONS = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}


def networks(
    preset: Preset, precision: str = "float32", sync_batch_norm: bool = False
) -> tuple[Generator, Discriminator]:
    """The generator and the discriminator of a configuration, not built yet.

    Raises:
        ValueError: if its sizes do not fit together, or the precision is unknown.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r}: one of {', '.join(PRECISIONS)}")
    generator = Generator(
        preset.image_size,
        widths=preset.g_widths,
        output_head=preset.output_head,
        decoder_widths=preset.decoder_widths,
        num_heads=preset.g_heads,
        mlp_dim=preset.g_mlp_dim,
        latent_dim=preset.latent_dim,
        base_resolution=preset.base_resolution,
        score=preset.score,
        attention=preset.g_attention,
        norm=preset.g_norm,
        mlp_residual=preset.g_mlp_residual,
        lee_convolution=preset.lee_convolution,
        initializer=preset.g_initializer,
        sync_batch_norm=sync_batch_norm,
        dtype=PRECISIONS[precision],
        name="generator",
    )
    discriminator = Discriminator(
        preset.image_size,
        widths=preset.d_widths,
        attention=preset.d_attention,
        out_widths=preset.d_out_widths,
        num_heads=preset.d_heads,
        mlp_dim=preset.d_mlp_dim,
        batch_norm=preset.d_batch_norm,
        score=preset.score,
        initializer=preset.d_initializer,
        sync_batch_norm=sync_batch_norm,
        dtype=PRECISIONS[precision],
        name="discriminator",
    )
    return generator, discriminator


def in_precision(generator: Generator, precision: str = "float32") -> Generator:
    """The same generator for inference, with weights and products in one precision.

    Where a policy such as `mixed_bfloat16` casts each float32 weight anew for every
    call, these are of the precision once and for all. Attention scores, the convolution
    to RGB and what is returned stay float32.

    Args:
        generator: built.
        precision: `"float32"` or `"bfloat16"`.

    Returns:
        A copy, or the generator itself if it is that already.
    """
    if generator.dtype_policy.name == precision:
        return generator
    return copy_generator(generator, precision)


def copy_generator(generator: Generator, precision: str = "float32") -> Generator:
    """As `in_precision`, but always another generator."""
    copy = copy_without_weights(generator, precision)
    for new, weight in zip(copy.weights, generator.weights, strict=True):
        new.assign(weight)  # on the device, where `set_weights` makes arrays of them
    return copy


def copy_without_weights(generator: Generator, precision: str = "float32") -> Generator:
    """As `copy_generator`, but of zeros, and of a generator that need not be built.

    For weights to come: orthogonal numbers would take seconds to draw.
    """
    changes = {"dtype": precision, "initializer": "zeros"}
    copy = type(generator).from_config(generator.get_config() | changes)
    copy.build()
    return copy
