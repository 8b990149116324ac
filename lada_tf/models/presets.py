"""The paper's configurations, and `tiny`, as data.

A preset defines a training run, except for its seed and its directory: the networks,
the losses, the optimizers, the data and the number of images.
"""

import dataclasses
from typing import Any


def _field(doc: str, default: Any = dataclasses.MISSING) -> Any:
    return dataclasses.field(default=default, metadata={"doc": doc})


@dataclasses.dataclass(frozen=True)
class Preset:
    """One configuration. Each field is a flag of `lada-tf train` with the same name."""

    data: str = _field("Data set: a path or a name, see docs/data.md.")
    image_size: int = _field("Side of the images, in pixels.")
    g_widths: tuple[int, ...] = _field("Token width of each stage of the generator.")
    output_head: str = _field("Output head of the generator: pixel, patch or decoder.")
    d_widths: tuple[int, ...] = _field(
        "Channels of the discriminator's convolutions down to 16x16."
    )
    batch_size: int = _field("Number of images per batch.")
    augment: str = _field(
        "DiffAugment policy: color,translation,cutout, parts of it, or empty."
    )
    total_images: int = _field("Number of real images to train on, with repetitions.")
    resize: str = _field(
        "How to resize images: center_crop, plain, lsun, pad or unchanged, see "
        "docs/data.md. Empty: the data set's default.",
        "",
    )
    subset: float = _field("Fraction of the data to train on, in (0, 1].", 1.0)
    decoder_widths: tuple[int, ...] = _field(
        "Channels per level of the decoder head.", ()
    )
    base_resolution: int = _field("Side of the generator's first grid of tokens.", 8)
    latent_dim: int = _field("Length of a latent.", 128)
    g_heads: tuple[int, ...] = _field(
        "Attention heads of the generator: one int, or one per stage.", (4,)
    )
    g_mlp_dim: tuple[int, ...] = _field(
        "Hidden widths of the generator's MLPs: one int, or one per stage.", (512,)
    )
    g_attention: str = _field(
        "Attention of the generator: lada, fastformer, linformer, dot_product, swin, "
        "lada_swin, or module:Class.",
        "lada",
    )
    g_norm: str = _field("Normalization of the generator: sln or layer_norm.", "sln")
    g_mlp_residual: bool = _field("Residual around the generator's MLPs.", False)
    lee_convolution: bool = _field("Convolutions between the generator's stages.", True)
    d_attention: str = _field("Attention of the discriminator, or conv.", "lada")
    d_out_widths: tuple[int, ...] = _field(
        "Channels of the discriminator's last two hidden maps.", (512, 1024)
    )
    d_heads: int = _field("Attention heads of the discriminator.", 4)
    d_mlp_dim: int = _field("Hidden width of the discriminator's MLP.", 512)
    d_batch_norm: bool = _field("Batch normalization in the discriminator.", True)
    score: str = _field(
        "Attention score: joint (authors' code) or per_head (paper).", "joint"
    )
    g_initializer: str = _field("Initializer of the generator.", "orthogonal")
    d_initializer: str = _field("Initializer of the discriminator.", "orthogonal")
    loss: str = _field("Adversarial loss: non_saturating or hinge.", "non_saturating")
    r1_gamma: float = _field("Weight of the R1 gradient penalty.", 1e-4)
    r1_interval: int = _field("Apply R1 every N steps (lazy R1). The paper uses 1.", 1)
    bcr_real: float = _field("Weight of consistency on real images (bCR).", 0.0)
    bcr_fake: float = _field("Weight of consistency on generated images (bCR).", 0.0)
    g_learning_rate: float = _field("Adam's learning rate for the generator.", 2e-4)
    d_learning_rate: float = _field("Adam's learning rate for the discriminator.", 2e-4)
    g_betas: tuple[float, float] = _field("Adam's β for the generator.", (0.5, 0.99))
    d_betas: tuple[float, float] = _field(
        "Adam's β for the discriminator.", (0.5, 0.99)
    )
    ema_decay: float = _field("Decay of the EMA generator per step.", 0.999)


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
