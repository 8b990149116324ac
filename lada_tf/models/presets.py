"""Presets: the paper's configurations, and `tiny`, as data.

A preset defines the networks, losses, optimizers, data and number of images of a
training run.
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

# Default intervals of numeric fields.
INTERVALS = {int: "[1, 1e18]", float: "[0, inf)"}


def setting(doc: str, default: Any = dataclasses.MISSING, **limits: Any) -> Any:
    """Return a field of `Preset` or `TrainingOptions`.

    Args:
        doc: help text.
        default: default value. If omitted, the field is required.
        **limits: `choices`, the allowed values; `parts`, the allowed items of a
            comma-separated list; or `interval`, such as `"[0, 1)"`, of a number or of
            each number in a tuple.
    """
    return dataclasses.field(default=default, metadata={"doc": doc, **limits})


def setting_error(field: dataclasses.Field, value: Any) -> str | None:
    """Return the reason why a value of a `setting` is invalid, or None."""
    limits = field.metadata
    kind: Any = field.type
    if choices := limits.get("choices"):
        return None if value in choices else f"expected one of {', '.join(choices)}"
    if parts := limits.get("parts"):
        known = {*parts, ""}.issuperset(value.split(","))
        expected = f"expected some of {', '.join(parts)}, separated by commas"
        return None if known else expected
    if kind in (str, bool):
        return None
    types = typing.get_args(kind)  # (int, ...) or (float, float), or () for a number
    number_type = types[0] if types else kind
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if types and types[-1] is not Ellipsis and len(values) != len(types):
        return f"expected {len(types)} numbers"
    abstract = numbers.Integral if number_type is int else numbers.Real
    if not all(isinstance(number, abstract) for number in values):
        return "expected an integer" if number_type is int else "expected a number"
    interval = limits.get("interval", INTERVALS[number_type])
    low, high = map(float, interval[1:-1].split(","))
    for number in values:  # NaN is in no interval
        above = low <= number if interval[0] == "[" else low < number
        below = number <= high if interval[-1] == "]" else number < high
        if not (above and below):
            if high < 1e18:
                return f"must be in {interval}"
            bound = "at least" if interval[0] == "[" else "above"
            return f"must be {bound} {interval[1:].partition(',')[0]}"
    return None


def check_settings(settings: Any) -> None:
    """Raise UserError for the first invalid field of a dataclass of settings."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if error := setting_error(field, value):
            raise UserError(f"{field.name}={value}: {error}")


@dataclasses.dataclass(frozen=True)
class Preset:
    """One configuration. Each field is a flag of `lada-tf train` with the same name."""

    data: str = setting(
        "Train on this dataset: a directory, .zip, LMDB, IDX, .npy, .npz, portraits, "
        "fashion_mnist or tfds:NAME[:SPLIT]."
    )
    image_size: int = setting("Train at this width and height, in pixels.")
    g_widths: tuple[int, ...] = setting(
        "Set the generator's token width for each stage, such as 1024,256,64."
    )
    output_head: str = setting(
        "Turn tokens into pixels with this head.", choices=OUTPUT_HEADS
    )
    d_widths: tuple[int, ...] = setting(
        "Set the discriminator's channels: of the first convolution, then of each down "
        "block to 16x16, such as 64,128,256."
    )
    batch_size: int = setting("Train on this many images per step, over all devices.")
    augment: str = setting(
        "Apply these operations of DiffAugment: color, translation, cutout, separated "
        "by commas. Empty turns DiffAugment off.",
        parts=OPERATIONS,
    )
    total_images: int = setting(
        "Stop after this many real images. Repeated images count again.",
        interval="[0, 1e18]",
    )
    resize: str = setting(
        "Resize images by this method: center_crop, plain (squash), lsun, pad (black "
        "borders), or unchanged. Empty selects the default of the dataset, center_crop "
        "for most.",
        "",
    )
    subset: float = setting(
        "Train on this fraction of the images, such as 0.1.", 1.0, interval="(0, 1]"
    )
    decoder_widths: tuple[int, ...] = setting(
        "Set the channels of each level of the decoder head, such as 64,32.", ()
    )
    base_resolution: int = setting(
        "Set the side of the generator's first grid of tokens.", 8
    )
    latent_dim: int = setting("Set the number of values in a latent.", 128)
    g_heads: tuple[int, ...] = setting(
        "Set the generator's attention heads: one number, or one per stage.", (4,)
    )
    g_mlp_dim: tuple[int, ...] = setting(
        "Set the hidden width of the generator's MLPs: one number, or one per stage.",
        (512,),
    )
    g_attention: str = setting(
        "Use this attention in the generator: lada, fastformer, linformer, "
        "dot_product, swin, lada_swin, or module:Class.",
        "lada",
    )
    g_norm: str = setting(
        "Use this normalization in the generator: self-modulated layer normalization "
        "(sln), or plain layer normalization.",
        "sln",
        choices=NORMS,
    )
    g_mlp_residual: bool = setting(
        "Add a residual connection around the generator's MLPs.", False
    )
    lee_convolution: bool = setting(
        "Add a convolution after each pixel shuffle between the generator's stages.",
        True,
    )
    d_attention: str = setting(
        "Use this attention in the discriminator (see g_attention), or conv for "
        "convolutions only.",
        "lada",
    )
    d_out_widths: tuple[int, int] = setting(
        "Set the channels of the discriminator's last two hidden maps.", (512, 1024)
    )
    d_heads: int = setting("Set the discriminator's attention heads.", 4)
    d_mlp_dim: int = setting("Set the hidden width of the discriminator's MLP.", 512)
    d_batch_norm: bool = setting("Use batch normalization in the discriminator.", True)
    score: str = setting(
        "Compute attention scores in this form: joint (authors' code) or per_head "
        "(paper).",
        "joint",
        choices=SCORE_FORMS,
    )
    g_initializer: str = setting(
        "Use this Keras initializer for the generator.", "orthogonal"
    )
    d_initializer: str = setting(
        "Use this Keras initializer for the discriminator.", "orthogonal"
    )
    icnr: bool = setting(
        "Initialize all sub-pixels of a pixel shuffle with the same weights (ICNR), to "
        "avoid a checkerboard pattern.",
        False,
    )
    loss: str = setting(
        "Train with this adversarial loss.", "non_saturating", choices=tuple(LOSSES)
    )
    r1_gamma: float = setting(
        "Set the weight of the R1 gradient penalty. 0 turns it off.", 1e-4
    )
    r1_interval: int = setting("Apply R1 every N steps (lazy R1). The paper uses 1.", 1)
    bcr_real: float = setting(
        "Set the weight of consistency on real images (bCR). 0 turns it off.", 0.0
    )
    bcr_fake: float = setting(
        "Set the weight of consistency on generated images (bCR). 0 turns it off.", 0.0
    )
    g_learning_rate: float = setting("Set the generator's learning rate.", 2e-4)
    d_learning_rate: float = setting("Set the discriminator's learning rate.", 2e-4)
    g_betas: tuple[float, float] = setting(
        "Set β₁ and β₂ of the generator's Adam, such as 0.5,0.99.",
        (0.5, 0.99),
        interval="[0, 1)",
    )
    d_betas: tuple[float, float] = setting(
        "Set β₁ and β₂ of the discriminator's Adam, such as 0.5,0.99.",
        (0.5, 0.99),
        interval="[0, 1)",
    )
    ema_decay: float = setting(
        "Set the decay of the EMA generator per step.", 0.999, interval="[0, 1]"
    )
    freeze_d: int = setting(
        "Freeze this many stages of the discriminator, from the highest resolution "
        "down (FreezeD). The first convolution is the first stage.",
        0,
        interval="[0, 1e18]",
    )

    def __post_init__(self) -> None:
        """Check each field. `networks.check_sizes` checks that they fit together."""
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


# Fields of Preset that are also arguments and attributes of LadaGAN.
HYPERPARAMETERS = (
    "r1_gamma",
    "r1_interval",
    "bcr_real",
    "bcr_fake",
    "ema_decay",
    "g_learning_rate",
    "d_learning_rate",
    "g_betas",
    "d_betas",
    "freeze_d",
)


def get_preset(name: str, **overrides: Any) -> Preset:
    """Return a preset by name, with some fields replaced.

    The `resize` of the paper's presets suits their own data. With other `data`, it is
    empty unless given, because `plain` would squash photographs.

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
    # A split such as tfds:cifar10:test is the preset's own data, too.
    if not f"{data}:".startswith(f"{preset.data}:"):
        overrides = {"resize": ""} | overrides
    return dataclasses.replace(preset, **overrides)
