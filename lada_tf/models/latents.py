"""Compute latents from a seed and an index: this defines "image i of seed s".

Latent i of seed s is a function of s and i alone. It uses the counter-based generator
Philox4x32-10 (Salmon et al. 2011, https://doi.org/10.1145/2063384.2063405):

- The key is the seed, and the counter is (block, index). Each has 64 bits, low word
  first. The seed and the index are integers in [0, 2^63).
- Block b = 0, 1, ... gives four 32-bit words w0 to w3. Two Box-Muller transforms in
  float64 turn them into the numbers 4b to 4b + 3 of the latent:

      r = sqrt(-2 ln((w0 + 0.5) / 2^32)),  angle = 2 pi w1 / 2^32
      numbers 4b and 4b + 1: r cos(angle), r sin(angle)

  The words w2 and w3 give the numbers 4b + 2 and 4b + 3 in the same way.
- Rounding to float32 hides differences between platforms in the last bits of float64.

This file needs only NumPy. `graph_latents` in `lada_tf.serving.saved_model` and
`latentOf` in `lada_tf/serving/web/page.js` compute the same numbers.
"""

import numpy as np
from numpy.typing import ArrayLike

MAX_SEED = 2**63 - 1
_ROUNDS = 10
_MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], np.uint64)
_KEY_INCREMENTS = np.array([0x9E3779B9, 0xBB67AE85], np.uint64)
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


def latents(seed: ArrayLike, indices: ArrayLike, latent_dim: int) -> np.ndarray:
    """Return latents of a seed, standard normal.

    Args:
        seed: int in [0, 2^63), or an array of one seed per index.
        indices: n ints in [0, 2^63).
        latent_dim: length of a latent. Shorter latents are prefixes of longer ones.

    Returns:
        A float32 array (n, latent_dim).

    Raises:
        ValueError: if a seed or an index is not such an integer.

    Example:

    >>> latents(0, range(2), 3).shape
    (2, 3)
    """
    seeds, numbers = _integers("seed", seed), _integers("indices", indices)
    seeds, numbers = np.broadcast_arrays(seeds, np.atleast_1d(numbers))
    blocks = np.arange(-(-latent_dim // 4), dtype=np.uint64)  # (B,)
    words = _philox(seeds[:, None], blocks, numbers[:, None])  # (n, B, 4)
    words = words.reshape(len(numbers), 2 * len(blocks), 2)
    radius = np.sqrt(-2 * np.log((words[..., 0] + 0.5) / 2**32))
    angle = 2 * np.pi * (words[..., 1] / 2**32)
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return pairs.reshape(len(numbers), 4 * len(blocks))[:, :latent_dim].astype(
        np.float32
    )


def _philox(key: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the four words of Philox4x32-10, uint64 (..., 4)."""
    c0, c1, c2, c3 = low & _LOW, low >> _SHIFT, high & _LOW, high >> _SHIFT
    k0, k1 = key & _LOW, key >> _SHIFT
    for _ in range(_ROUNDS):
        product0, product1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1 = (product1 >> _SHIFT) ^ c1 ^ k0, product1 & _LOW
        c2, c3 = (product0 >> _SHIFT) ^ c3 ^ k1, product0 & _LOW
        k0, k1 = (k0 + _KEY_INCREMENTS[0]) & _LOW, (k1 + _KEY_INCREMENTS[1]) & _LOW
    return np.stack([c0, c1, c2, c3], axis=-1)


def _integers(name: str, values: ArrayLike) -> np.ndarray:
    array = np.asarray(values)
    if not array.size:
        return array.astype(np.uint64)
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() > MAX_SEED:
        raise ValueError(f"{name}={values!r}: expected integers from 0 to 2^63 - 1")
    return array.astype(np.uint64)
