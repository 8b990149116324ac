"""The paper's evaluations (Tables I to IV), with the metrics that it reports."""

import dataclasses

from lada_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Protocol:
    """The two sets of images that an evaluation compares.

    Attributes:
        image_size: height and width of the images; None for any.
        num_generated: number of generated images; None for all images of a set.
        paper: metrics that the paper reports.
        real: the real images, a source of `lada_tf.data.open_source` or an ADM
            reference file. Empty if the user has to pass a path.
        needs: the data that the user has to pass.
        source_images: number of images that the source must have; None for any.
        num_real: number of random real images; None for all.
        resize: how real images are resized, as in `open_source`. None: its default.
        name: a key of `PROTOCOLS`; None for the user's own data.
    """

    image_size: int | None
    num_generated: int | None
    paper: dict[str, float]
    real: str = ""
    needs: str = ""
    source_images: int | None = None
    num_real: int | None = None
    resize: str | None = None
    name: str | None = None


BEDROOM = "LSUN's bedroom_train_lmdb, or records of it"
PROTOCOLS = {
    "cifar10_50k": Protocol(
        32,
        50_000,
        {"FID": 3.29, "sFID": 3.81, "IS": 9.66, "precision": 0.61, "recall": 0.60},
        real="tfds:cifar10:train",
        source_images=50_000,
        resize="plain",
    ),
    "cifar10_10k": Protocol(
        32,
        10_000,
        {"FID": 7.58},
        real="tfds:cifar10:test",
        source_images=10_000,
        resize="plain",
    ),
    "celeba64_19k": Protocol(
        64,
        19_962,
        {"FID": 2.89},
        real="tfds:celeb_a:test",
        source_images=19_962,
        resize="plain",
    ),
    "celeba64_50k": Protocol(
        64,
        50_000,
        {"FID": 1.81},
        real="tfds:celeb_a:train",
        source_images=162_770,
        resize="plain",
    ),
    "ffhq128_50k": Protocol(
        128,
        50_000,
        {"FID": 4.48},
        needs="a directory, zip or records of the 70,000 FFHQ images",
        source_images=70_000,
        resize="plain",
    ),
    "bedroom128_30k": Protocol(
        128,
        30_000,
        {"FID": 5.08},
        needs=BEDROOM,
        num_real=30_000,
        resize="plain",
    ),
    "bedroom128_50k": Protocol(
        128,
        50_000,
        {"FID": 4.60},
        needs=BEDROOM,
        num_real=50_000,
        resize="plain",
    ),
    "bedroom256_50k": Protocol(
        256,
        50_000,
        {"FID": 6.36},
        needs="ADM's reference batch VIRTUAL_lsun_bedroom256.npz (statistics of 50,000 "
        "training images), or LSUN's bedroom_train_lmdb",
        num_real=50_000,
        resize="lsun",
    ),
}


def choose_protocol(
    name: str | None = None,
    real: str | None = None,
    num_generated: int | None = None,
    num_real: int | None = None,
    resize: str | None = None,
) -> Protocol:
    """Return a protocol of the paper, or one for the user's own data.

    Args:
        name: a key of `PROTOCOLS`; None for the user's own data.
        real: replaces the real images of a named protocol.
        num_generated, num_real, resize: as in `Protocol`, for the user's own data only.

    Raises:
        UserError: an unknown name, no real images, or an argument that the named
            protocol fixes.
    """
    if name is None:
        if real is None:
            raise UserError(
                "no real images to compare with: set protocol=NAME, or real=SOURCE"
            )
        return Protocol(
            None, num_generated, {}, real=real, num_real=num_real, resize=resize
        )
    if name not in PROTOCOLS:
        raise UserError(
            f"protocol={name} is not one of {', '.join(PROTOCOLS)}. For other data set "
            "real=SOURCE and num_generated=N"
        )
    if (num_generated, num_real, resize) != (None, None, None):
        raise UserError(
            f"protocol={name} fixes num_generated, num_real and resize: leave them out"
        )
    protocol = PROTOCOLS[name]
    if not (real or protocol.real):
        raise UserError(f"protocol={name} needs real=PATH: {protocol.needs}")
    return dataclasses.replace(protocol, name=name, real=real or protocol.real)
