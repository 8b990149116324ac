"""The paper's configurations, and `tiny`, as data.

A preset defines a training run, except for its seed and its directory: the networks,
the losses, the optimizers, the data and the number of images.
"""

import dataclasses
import numbers
import typing
from typing import Any

from lada_tf.errors import UserError
from lada_tf.layers.diff_augment import OPERATIONS
from lada_tf.layers.lada_attention import SCORE_FORMS
from lada_tf.layers.ladaformer import NORMS
from lada_tf.models.generator import OUTPUT_HEADS
from lada_tf.models.losses import LOSSES

# Values of numeric fields, as an interval, unless a field has its own.
INTERVALS = {int: "[1, 1e18]", float: "[0, inf)"}


def setting(doc: str, default: Any = dataclasses.MISSING, **limits: Any) -> Any:
    """Return a field of `Preset` or `TrainingOptions`.

    Args:
        doc: help text.
        default: default value. If omitted, the field is required.
        **limits: `choices`, the values; `parts`, the values of a comma-separated list;
            `interval` of a number or of each number in a tuple, such as `"[0, 1)"`.
    """
    return dataclasses.field(default=default, metadata={"doc": doc, **limits})


def setting_error(field: dataclasses.Field, value: Any) -> str | None:
    """Return what is wrong with a value of a `setting`, or None."""
    limits = field.metadata
    kind: Any = field.type
    if choices := limits.get("choices"):
        return None if value in choices else f"expected one of {', '.join(choices)}"
    if parts := limits.get("parts"):
        known = {*parts, ""}.issuperset(value.split(","))
        return None if known else f"expected {', '.join(parts)}, or some of them"
    if kind in (str, bool):
        return None
    sizes = typing.get_args(kind)  # (int, ...) or (float, float), () of a number
    number_type = sizes[0] if sizes else kind
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if sizes and sizes[-1] is not Ellipsis and len(values) != len(sizes):
        return f"expected {len(sizes)} numbers"
    abstract = numbers.Integral if number_type is int else numbers.Real
    if not all(isinstance(number, abstract) for number in values):
        return "expected an integer" if number_type is int else "expected a number"
    interval = limits.get("interval", INTERVALS[number_type])
    low, high = map(float, interval[1:-1].split(","))
    for number in values:  # NaN is in no interval
        above = low <= number if interval[0] == "[" else low < number
        below = number <= high if interval[-1] == "]" else number < high
        if not (above and below):
            return f"must be in {interval}"
    return None


def check_settings(settings: Any) -> None:
    """Raise a UserError that names the first invalid field of a dataclass."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if error := setting_error(field, value):
            raise UserError(f"{field.name}={value}: {error}")


@dataclasses.dataclass(frozen=True)
class Preset:
    """One configuration. Each field is a flag of `lada-tf train` with the same name."""

    data: str = setting("Train on this dataset: a path or a name, see docs/data.md.")
    image_size: int = setting("Train at this width and height, in pixels.")
    g_widths: tuple[int, ...] = setting(
        "Set the token width of each stage, such as 1024,256,64."
    )
    output_head: str = setting(
        "Turn tokens into pixels with this head.", choices=OUTPUT_HEADS
    )
    d_widths: tuple[int, ...] = setting(
        "Set the channels of the convolutions down to 16x16, such as 64,128,256."
    )
    batch_size: int = setting("Train on this many images per step, over all devices.")
    augment: str = setting(
        "Apply these operations of DiffAugment: color, translation, cutout, separated "
        "by commas. Empty turns DiffAugment off.",
        parts=OPERATIONS,
    )
    total_images: int = setting(
        "Stop after the discriminator has seen N real images, with repetitions.",
        interval="[0, 1e18]",
    )
    resize: str = setting(
        "Resize images by this method: center_crop, plain, lsun, pad, or unchanged, "
        "see docs/data.md. Empty selects the default of the dataset.",
        "",
    )
    subset: float = setting(
        "Train on this fraction of the images, such as 0.1.", 1.0, interval="(0, 1]"
    )
    decoder_widths: tuple[int, ...] = setting(
        "Set the channels of each level of the decoder head.", ()
    )
    base_resolution: int = setting("Set the side of the first grid of tokens.", 8)
    latent_dim: int = setting("Set the dimension of the latents.", 128)
    g_heads: tuple[int, ...] = setting(
        "Set the number of attention heads: one value, or one per stage.", (4,)
    )
    g_mlp_dim: tuple[int, ...] = setting(
        "Set the hidden width of the MLPs: one value, or one per stage.", (512,)
    )
    g_attention: str = setting(
        "Use this attention: lada, fastformer, linformer, dot_product, swin, "
        "lada_swin, or module:Class.",
        "lada",
    )
    g_norm: str = setting(
        "Use self-modulated layer normalization (sln), or plain layer normalization.",
        "sln",
        choices=NORMS,
    )
    g_mlp_residual: bool = setting("Add a residual connection around the MLPs.", False)
    lee_convolution: bool = setting(
        "Add a convolution after each pixel shuffle between stages.", True
    )
    d_attention: str = setting(
        "Use this attention (see g_attention), or conv for convolutions only.", "lada"
    )
    d_out_widths: tuple[int, int] = setting(
        "Set the channels of the last two hidden layers.", (512, 1024)
    )
    d_heads: int = setting("Set the number of attention heads.", 4)
    d_mlp_dim: int = setting("Set the hidden width of the MLP.", 512)
    d_batch_norm: bool = setting("Use batch normalization.", True)
    score: str = setting(
        "Compute attention scores in this form: joint (authors' code) or per_head "
        "(paper).",
        "joint",
        choices=SCORE_FORMS,
    )
    g_initializer: str = setting("Use this Keras initializer.", "orthogonal")
    d_initializer: str = setting("Use this Keras initializer.", "orthogonal")
    icnr: bool = setting(
        "Initialize all sub-pixels of a pixel shuffle with the same weights (ICNR), to "
        "avoid checkerboard patterns.",
        False,
    )
    loss: str = setting(
        "Train with this adversarial loss.", "non_saturating", choices=tuple(LOSSES)
    )
    r1_gamma: float = setting("Weight the R1 gradient penalty by this factor.", 1e-4)
    r1_interval: int = setting("Apply R1 every N steps (lazy R1). The paper uses 1.", 1)
    bcr_real: float = setting(
        "Weight consistency on real images (bCR) by this factor.", 0.0
    )
    bcr_fake: float = setting(
        "Weight consistency on generated images (bCR) by this factor.", 0.0
    )
    g_learning_rate: float = setting("Set Adam's learning rate.", 2e-4)
    d_learning_rate: float = setting("Set Adam's learning rate.", 2e-4)
    g_betas: tuple[float, float] = setting(
        "Set Adam's β₁ and β₂.", (0.5, 0.99), interval="[0, 1)"
    )
    d_betas: tuple[float, float] = setting(
        "Set Adam's β₁ and β₂.", (0.5, 0.99), interval="[0, 1)"
    )
    ema_decay: float = setting(
        "Set the decay of the EMA generator per step.", 0.999, interval="[0, 1]"
    )
    freeze_d: int = setting(
        "Do not train the N highest-resolution stages of the discriminator (FreezeD). "
        "The first convolution is the first stage.",
        0,
        interval="[0, 1e18]",
    )

    def __post_init__(self) -> None:
        """Check the fields. `lada_tf.models.networks` checks that they fit together."""
        check_settings(self)


PRESETS = {
    "cifar10": Preset(
        data="tfds:cifar10",
        resize="plain",
        image_size=32,
        g_widths=(1024, 256, 64),
        output_head="pixel",
        d_widths=(128, 256),
        batch_size=128,
        augment="color,translation,cutout",
        bcr_real=1.0,
        bcr_fake=1.0,
        total_images=68_000_000,
    ),
    "celeba64": Preset(
        data="tfds:celeb_a",
        resize="plain",
        image_size=64,
        g_widths=(1024, 256, 64),
        output_head="patch",
        d_widths=(64, 128, 256),
        batch_size=128,
        augment="color,translation",
        total_images=72_000_000,
    ),
    "ffhq128": Preset(
        data="",  # the user's own directory: TFDS does not have FFHQ
        resize="plain",
        image_size=128,
        g_widths=(1024, 512, 256),
        output_head="decoder",
        decoder_widths=(128, 64),
        d_widths=(32, 64, 128, 256),
        batch_size=64,
        augment="color,translation,cutout",
        bcr_real=0.1,
        bcr_fake=0.1,
        total_images=53_000_000,
    ),
    "bedroom128": Preset(
        data="tfds:lsun/bedroom",
        resize="plain",
        image_size=128,
        g_widths=(1024, 512, 256),
        output_head="decoder",
        decoder_widths=(128, 64),
        d_widths=(32, 64, 128, 256),
        batch_size=64,
        augment="color,translation",
        total_images=10_000_000,
    ),
    # The paper gives neither d_widths nor batch_size. They follow the other presets.
    "bedroom256": Preset(
        data="tfds:lsun/bedroom",
        resize="lsun",
        image_size=256,
        g_widths=(1024, 512, 256),
        output_head="decoder",
        decoder_widths=(128, 64, 32),
        d_widths=(16, 32, 64, 128, 256),
        batch_size=64,
        augment="color,translation",
        total_images=18_000_000,
    ),
    "tiny": Preset(
        data="portraits",
        image_size=32,
        g_widths=(96, 64, 32),
        output_head="pixel",
        d_widths=(16, 48),
        d_out_widths=(96, 128),
        g_mlp_dim=(128,),
        d_mlp_dim=128,
        icnr=True,
        batch_size=16,
        augment="",
        r1_gamma=0.01,
        g_learning_rate=1e-3,
        d_learning_rate=1e-3,
        ema_decay=0.995,
        total_images=40_000,
    ),
}


def get_preset(name: str, **overrides: Any) -> Preset:
    """Return the preset of that name, with some fields replaced.

    A preset's `resize` is the paper's recipe for the preset's own data. With other
    `data`, it is empty unless given, so that photographs are not squashed.

    Raises:
        ValueError: if there is no such preset or field.
    """
    if name not in PRESETS:
        raise ValueError(f"preset={name!r} is not one of {', '.join(PRESETS)}")
    unknown = set(overrides) - {field.name for field in dataclasses.fields(Preset)}
    if unknown:
        raise ValueError(f"Preset has no field {', '.join(sorted(unknown))}")
    preset = PRESETS[name]
    data = overrides.get("data", preset.data)
    if not f"{data}:".startswith(f"{preset.data}:"):  # also a split of the data
        overrides = {"resize": ""} | overrides
    return dataclasses.replace(preset, **overrides)
