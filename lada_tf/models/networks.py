"""Create both networks of a preset, and copies of a generator for inference."""

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import keras

from lada_tf.errors import UserError
from lada_tf.models.discriminator import Discriminator
from lada_tf.models.generator import Generator
from lada_tf.models.presets import Preset

# Keras dtype policies by precision. All of them keep weights in float32.
PRECISIONS = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}

# Argument of a network: field of Preset.
GENERATOR_FIELDS = {
    "widths": "g_widths",
    "output_head": "output_head",
    "decoder_widths": "decoder_widths",
    "num_heads": "g_heads",
    "mlp_dim": "g_mlp_dim",
    "latent_dim": "latent_dim",
    "base_resolution": "base_resolution",
    "attention": "g_attention",
    "norm": "g_norm",
    "mlp_residual": "g_mlp_residual",
    "lee_convolution": "lee_convolution",
    "initializer": "g_initializer",
    "icnr": "icnr",
    "score": "score",
}
DISCRIMINATOR_FIELDS = {
    "widths": "d_widths",
    "attention": "d_attention",
    "out_widths": "d_out_widths",
    "num_heads": "d_heads",
    "mlp_dim": "d_mlp_dim",
    "batch_norm": "d_batch_norm",
    "initializer": "d_initializer",
    "score": "score",
}


def make_networks(
    preset: Preset,
    precision: str | None = None,
    sync_batch_norm: bool = False,
    build: bool = False,
) -> tuple[Generator, Discriminator]:
    """Return the generator and the discriminator of a preset.

    Args:
        preset: the configuration.
        precision: one of `PRECISIONS`, or None for Keras' global policy, see
            `Generator`.
        sync_batch_norm: see `Generator`.
        build: whether to create the weights.

    Raises:
        UserError: if the sizes do not fit together, or the precision is unknown. The
            message names the fields of the preset.
    """
    if precision is not None and precision not in PRECISIONS:
        raise UserError(
            f"precision={precision!r} is not one of {', '.join(PRECISIONS)}"
        )
    common: dict[str, Any] = {
        "sync_batch_norm": sync_batch_norm,
        "dtype": PRECISIONS[precision] if precision else None,
    }
    with _naming_fields("generator", GENERATOR_FIELDS):
        generator = Generator(
            preset.image_size,
            **{key: getattr(preset, name) for key, name in GENERATOR_FIELDS.items()},
            name="generator",
            **common,
        )
    with _naming_fields("discriminator", DISCRIMINATOR_FIELDS):
        discriminator = Discriminator(
            preset.image_size,
            **{
                key: getattr(preset, name) for key, name in DISCRIMINATOR_FIELDS.items()
            },
            name="discriminator",
            **common,
        )
    # Build after both constructors. They draw the initializers' seeds, so the order
    # matters for reproducible weights.
    if build:
        with _naming_fields("generator", GENERATOR_FIELDS):
            generator.build((None, preset.latent_dim))
        with _naming_fields("discriminator", DISCRIMINATOR_FIELDS):
            discriminator.build((None, preset.image_size, preset.image_size, 3))
    return generator, discriminator


@contextlib.contextmanager
def _naming_fields(network: str, fields: dict[str, str]) -> Iterator[None]:
    """Turn a network's ValueError into a UserError that names fields of Preset.

    For example, `num_heads=3 does not divide the width 64` becomes `g_heads=3 …`.
    """
    try:
        yield
    except ValueError as error:
        pattern = rf"\b({'|'.join(fields)})="
        text, count = re.subn(pattern, lambda m: f"{fields[m[1]]}=", str(error))
        raise UserError(text if count else f"{network}: {text}") from error


def check_sizes(preset: Preset) -> None:
    """Raise a UserError if the networks of a preset cannot be built."""
    make_networks(preset)  # checks the initializers' names
    # Zeros take less time to create than orthogonal weights.
    zeros: dict[str, Any] = {"g_initializer": "zeros", "d_initializer": "zeros"}
    _, discriminator = make_networks(dataclasses.replace(preset, **zeros), build=True)
    discriminator.freeze(preset.freeze_d)


@contextlib.contextmanager
def keras_defaults() -> Iterator[None]:
    """Use float32 and channels last in the body, whatever keras.json says.

    Use it to create objects that have no arguments for dtype or data format.
    """
    config = keras.config
    before = config.dtype_policy(), config.floatx(), config.image_data_format()
    _set_keras_defaults("float32", "float32", "channels_last")
    try:
        yield
    finally:
        _set_keras_defaults(*before)


def _set_keras_defaults(policy, floatx, image_data_format):
    keras.config.set_dtype_policy(policy)
    keras.config.set_floatx(floatx)
    keras.config.set_image_data_format(image_data_format)


def copy_generator(
    generator: Generator, precision: str = "float32", name: str | None = None
) -> Generator:
    """Copy a generator for inference, with weights and arithmetic in one dtype.

    The copy stores weights in this dtype. A policy such as `mixed_bfloat16` would cast
    each float32 weight in every call. Attention scores, the convolution to RGB and the
    images are always float32.

    Args:
        generator: a built `Generator`.
        precision: `"float32"` or `"bfloat16"`.
        name: name of the copy. The default is the generator's name.
    """
    copy = copy_without_weights(generator, precision, name)
    for new, weight in zip(copy.weights, generator.weights, strict=True):
        new.assign(weight)  # `set_weights` would copy through the host
    return copy


def copy_without_weights(
    generator: Generator, precision: str = "float32", name: str | None = None
) -> Generator:
    """Copy a generator as `copy_generator` does, but with zeros as weights.

    Use it before loading weights: orthogonal initialization takes seconds. The
    generator need not be built.
    """
    changes = {"dtype": precision, "initializer": "zeros"}
    changes["name"] = name or generator.name
    # `from_config` would refuse an attention given as module:Class.
    copy = type(generator)(**{**generator.get_config(), **changes})
    copy.build((None, copy.latent_dim))
    return copy


def to_uint8(images: Any) -> Any:
    """Convert float images in [-1, 1] to uint8 in 0..255, rounded and clipped.

    Args:
        images: float array or tensor of any shape. uint8 images are returned as they
            are.

    Returns:
        A uint8 tensor of the same shape. Wrap it in `np.asarray` for an array.
    """
    if keras.ops.dtype(images) == "uint8":
        return images
    scaled = keras.ops.cast(images, "float32") * 127.5 + 127.5
    return keras.ops.cast(keras.ops.clip(keras.ops.round(scaled), 0, 255), "uint8")
