"""In which order images are seen: a pure function of seed and step.

Training sees the data as one endless row of positions 0, 1, 2, ... Position p is image
`permutation(p // N)[p % N]`: every epoch is a full reshuffle of the N images, and batch
number s of size B covers positions [s*B, (s+1)*B), across an epoch's end where B does
not divide N. To go on at step s nothing but s is needed.
"""

import numpy as np

# Independent random streams of one seed.
_SHUFFLE, _FLIP, _SUBSET = 0, 1, 2


class Order:
    """The endless shuffled order of `num_images` images.

    Random bits are Philox's, keyed by a SeedSequence: NumPy promises the same bits in
    every release for these two (NEP 19), which it does not for `Generator.permutation`.
    """

    def __init__(self, num_images: int, seed: int):
        self._num_images = num_images
        self._seed = seed
        self._permutations: dict[int, np.ndarray] = {}

    def indices(self, start: int, count: int) -> np.ndarray:
        """Image indices at positions [start, start + count): int64 (count,)."""
        positions = np.arange(start, start + count)
        epochs, offsets = np.divmod(positions, self._num_images)
        indices = np.empty(count, np.int64)
        for epoch in np.unique(epochs):
            within = epochs == epoch
            indices[within] = self._of_epoch(int(epoch))[offsets[within]]
        return indices

    def flips(self, step: int, count: int) -> np.ndarray:
        """Which images of a step's batch are mirrored: bool (count,), p = 1/2."""
        return _bits(count, self._seed, _FLIP, step) >> 63 == 1

    def _of_epoch(self, epoch: int) -> np.ndarray:
        # Sorting 64 random bits an image costs 0.3 s for 3 million, once an epoch. Two
        # are kept: batches that straddle an epoch, and are made in parallel, need both.
        # Readers are threads; at worst two of them compute the same permutation.
        permutation = self._permutations.get(epoch)
        if permutation is None:
            permutation = _permutation(self._num_images, self._seed, _SHUFFLE, epoch)
            recent = {e: p for e, p in self._permutations.items() if abs(e - epoch) < 2}
            self._permutations = {**recent, epoch: permutation}
        return permutation


def subset_order(num_images: int, seed: int) -> np.ndarray:
    """A permutation whose beginnings are nested subsets: int64 (num_images,)."""
    return _permutation(num_images, seed, _SUBSET)


def _permutation(count: int, *key: int) -> np.ndarray:
    return np.argsort(_bits(count, *key), kind="stable")


def _bits(count: int, *key: int) -> np.ndarray:
    return np.random.Philox(np.random.SeedSequence(key)).random_raw(count)
