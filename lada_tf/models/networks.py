"""Create the networks of a preset, and copies of a generator in another precision."""

from typing import Any

from lada_tf.models.discriminator import Discriminator
from lada_tf.models.generator import Generator
from lada_tf.models.presets import Preset

# Keras dtype policies by precision. Weights are float32 in each of them.
PRECISIONS = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}


def make_networks(
    preset: Preset, precision: str | None = None, sync_batch_norm: bool = False
) -> tuple[Generator, Discriminator]:
    """Return the generator and the discriminator of a preset, not built yet.

    Args:
        preset: the configuration.
        precision: one of `PRECISIONS`, or None for Keras' global policy, see
            `Generator`.
        sync_batch_norm: see `Generator`.

    Raises:
        ValueError: if its sizes do not fit together, or the precision is unknown.
    """
    if precision is not None and precision not in PRECISIONS:
        raise ValueError(
            f"precision={precision!r} is not one of {', '.join(PRECISIONS)}"
        )
    common: dict[str, Any] = {
        "score": preset.score,
        "sync_batch_norm": sync_batch_norm,
        "dtype": PRECISIONS[precision] if precision else None,
    }
    generator = Generator(
        preset.image_size,
        widths=preset.g_widths,
        output_head=preset.output_head,
        decoder_widths=preset.decoder_widths,
        num_heads=preset.g_heads,
        mlp_dim=preset.g_mlp_dim,
        latent_dim=preset.latent_dim,
        base_resolution=preset.base_resolution,
        attention=preset.g_attention,
        norm=preset.g_norm,
        mlp_residual=preset.g_mlp_residual,
        lee_convolution=preset.lee_convolution,
        initializer=preset.g_initializer,
        name="generator",
        **common,
    )
    discriminator = Discriminator(
        preset.image_size,
        widths=preset.d_widths,
        attention=preset.d_attention,
        out_widths=preset.d_out_widths,
        num_heads=preset.d_heads,
        mlp_dim=preset.d_mlp_dim,
        batch_norm=preset.d_batch_norm,
        initializer=preset.d_initializer,
        name="discriminator",
        **common,
    )
    return generator, discriminator


def copy_generator(
    generator: Generator, precision: str = "float32", name: str | None = None
) -> Generator:
    """Return a copy with weights and arithmetic in one dtype, for inference.

    A policy such as `mixed_bfloat16` casts each float32 weight in every call. Here, the
    weights are cast once. Attention scores, the convolution to RGB and the images stay
    float32.

    Args:
        generator: a built `Generator`.
        precision: `"float32"` or `"bfloat16"`.
        name: name of the copy. By default that of the generator.
    """
    copy = copy_without_weights(generator, precision, name)
    for new, weight in zip(copy.weights, generator.weights, strict=True):
        new.assign(weight)  # on the device, unlike `set_weights`
    return copy


def copy_without_weights(
    generator: Generator, precision: str = "float32", name: str | None = None
) -> Generator:
    """Like `copy_generator`, but with zero weights. The generator may be unbuilt.

    Use it before loading weights: initializing orthogonal weights would take seconds.
    """
    changes = {"dtype": precision, "initializer": "zeros"}
    changes["name"] = name or generator.name
    # Not from_config, which refuses an attention that a file names by module:Class.
    copy = type(generator)(**{**generator.get_config(), **changes})
    copy.build()
    return copy
