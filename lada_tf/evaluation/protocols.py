"""The paper's evaluations by name, as data, and the figures it reports for them.

Every one is FID, sFID, Inception score, precision and recall by the guided-diffusion
evaluator's definitions (Tables I to IV).
"""

import dataclasses

from lada_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Protocol:
    """One row of the paper's evaluation.

    Attributes:
        image_size: height and width of the images compared; None for any.
        num_generated: how many images are generated; None for the user's choice.
        source: the real images, as `lada_tf.data.open_source` names them; None where
            nobody may redistribute them or no loader knows them: the user gives a path.
        num_real: that many random real images; None for all of them.
        count: how many images the source has, as a check that it is the right one.
        needs: what the user has to give where `source` is None.
        resize: how the real images get their size.
        paper: the metrics that the paper reports.
    """

    image_size: int | None
    num_generated: int | None
    paper: dict[str, float]
    source: str | None = None
    num_real: int | None = None
    count: int | None = None
    needs: str = ""
    resize: str | None = None


PROTOCOLS = {
    "cifar10_50k": Protocol(
        image_size=32,
        num_generated=50_000,
        source="tfds:cifar10:train",
        count=50_000,
        paper={
            "FID": 3.29,
            "sFID": 3.81,
            "IS": 9.66,
            "precision": 0.61,
            "recall": 0.60,
        },
    ),
    "cifar10_10k": Protocol(
        image_size=32,
        num_generated=10_000,
        source="tfds:cifar10:test",
        count=10_000,
        paper={"FID": 7.58},
    ),
    "celeba64_19k": Protocol(
        image_size=64,
        num_generated=19_962,
        source="tfds:celeb_a:test",
        count=19_962,
        paper={"FID": 2.89},
    ),
    "celeba64_50k": Protocol(
        image_size=64,
        num_generated=50_000,
        source="tfds:celeb_a:train",
        count=162_770,
        paper={"FID": 1.81},
    ),
    "ffhq128_50k": Protocol(
        image_size=128,
        num_generated=50_000,
        needs="a folder, zip or records of the 70,000 FFHQ images",
        count=70_000,
        paper={"FID": 4.48},
    ),
    "bedroom128_30k": Protocol(
        image_size=128,
        num_generated=30_000,
        needs="LSUN's bedroom_train_lmdb, or records of it",
        num_real=30_000,
        paper={"FID": 5.08},
    ),
    "bedroom128_50k": Protocol(
        image_size=128,
        num_generated=50_000,
        needs="LSUN's bedroom_train_lmdb, or records of it",
        num_real=50_000,
        paper={"FID": 4.60},
    ),
    "bedroom256_50k": Protocol(
        image_size=256,
        num_generated=50_000,
        needs="ADM's reference batch VIRTUAL_lsun_bedroom256.npz (statistics of 50,000 "
        "training images), or LSUN's bedroom_train_lmdb",
        num_real=50_000,
        resize="lsun",
        paper={"FID": 6.36},
    ),
}


def protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        UserError: no such protocol.
    """
    if name not in PROTOCOLS:
        raise UserError(
            f"--protocol={name} is none of {', '.join(PROTOCOLS)}; for other data give "
            "--real=SOURCE and --num_generated=N"
        )
    return PROTOCOLS[name]
