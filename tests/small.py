"""The small LadaGAN of the tests, which trains in milliseconds per step.

>>> gan = LadaGAN.from_preset("tiny", **SMALL)
>>> succeed("lada_tf.train", *SMALL_FLAGS, f"--run_dir={run_dir}")
"""

from collections.abc import Iterable
from typing import Any

import numpy as np


def as_flags(changes: dict[str, Any]) -> tuple[str, ...]:
    """Return changes of a preset as flags of `lada_tf.train`."""
    return tuple(
        f"--{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name, value in changes.items()
    )


# Changes of the preset "tiny": 32x32, pixel output, no bCR.
SMALL: dict[str, Any] = {
    "base_resolution": 16,
    "g_widths": (16, 8),
    "d_widths": (4, 8),
    "d_out_widths": (8, 8),
    "g_mlp_dim": (8,),
    "d_mlp_dim": 8,
    "latent_dim": 5,
    "batch_size": 4,
}
SMALL_FLAGS = ("--preset=tiny", *as_flags(SMALL))


def assert_equal(first: Iterable, second: Iterable) -> None:
    """Check that two lists have the same arrays or variables, bit for bit."""
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
