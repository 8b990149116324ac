"""Create the networks of a preset, and copies of a generator in another precision."""

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

# Keras dtype policies by precision. Weights are float32 in each of them.
PRECISIONS = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}


# Fields of Preset that are arguments of a network, by the name of the argument.
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
        UserError: if its sizes do not fit together, or the precision is unknown. It
            names the fields of the preset.
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
    if build:  # after both constructors, which draw the seeds of initializers
        with _naming_fields("generator", GENERATOR_FIELDS):
            generator.build((None, preset.latent_dim))
        with _naming_fields("discriminator", DISCRIMINATOR_FIELDS):
            discriminator.build((None, preset.image_size, preset.image_size, 3))
    return generator, discriminator


@contextlib.contextmanager
def _naming_fields(network: str, fields: dict[str, str]) -> Iterator[None]:
    """Raise a ValueError about arguments of a network as one about fields of Preset.

    Such an error names the argument, as in `num_heads=3 does not divide the width 64`.
    """
    try:
        yield
    except ValueError as error:
        pattern = rf"\b({'|'.join(fields)})="
        text, count = re.subn(pattern, lambda m: f"{fields[m[1]]}=", str(error))
        raise UserError(text if count else f"{network}: {text}") from error


def check_sizes(preset: Preset) -> None:
    """Raise a UserError if a preset cannot be built. Takes less time than building it.

    Zeros need no time, unlike orthogonal weights.
    """
    make_networks(preset)
    zeros: dict[str, Any] = {"g_initializer": "zeros", "d_initializer": "zeros"}
    _, discriminator = make_networks(dataclasses.replace(preset, **zeros), build=True)
    discriminator.freeze(preset.freeze_d)


@contextlib.contextmanager
def keras_defaults() -> Iterator[None]:
    """Create Keras objects as if there were no keras.json: float32, channels last.

    Use it for objects that have no argument for these.
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
    copy.build((None, copy.latent_dim))
    return copy


def to_uint8(images: Any) -> Any:
    """Convert float images in [-1, 1] to uint8 in 0..255: round, then clip.

    Args:
        images: float array or tensor of any shape. Values outside [-1, 1] saturate.
            uint8 images are returned as they are.

    Returns:
        A uint8 tensor of the same shape. Wrap it in `np.asarray` for an array.
    """
    if keras.ops.dtype(images) == "uint8":
        return images
    scaled = keras.ops.cast(images, "float32") * 127.5 + 127.5
    return keras.ops.cast(keras.ops.clip(keras.ops.round(scaled), 0, 255), "uint8")
