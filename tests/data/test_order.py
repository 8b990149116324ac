import numpy as np
import pytest

from lada_tf.data.order import SHUFFLE, SUBSET, flips, permutation


def splitmix64(seed: int, count: int) -> list[int]:
    """Return outputs of the published generator, using Python's unbounded integers."""
    numbers, mask = [], 2**64 - 1
    for step in range(1, count + 1):
        z = (seed + step * 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        numbers.append(z ^ (z >> 31))
    return numbers


def state(*parts: int) -> int:
    value = 0
    for part in parts:
        (value,) = splitmix64((value + part) % 2**64, 1)
    return value


def test_splitmix64_matches_the_reference_code():
    # The first outputs of the reference C code for the seed 1234567.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert splitmix64(1234567, 3) == expected


def test_permutation_sorts_splitmix64_on_every_machine_and_release():
    bits = np.array(splitmix64(state(5, SHUFFLE, 3), 1000), np.uint64)
    order = permutation(1000, seed=5, epoch=3).numpy()
    np.testing.assert_array_equal(order, np.argsort(-(bits >> 1).astype(np.int64)))
    assert permutation(8, seed=1, epoch=0).numpy().tolist() == [5, 0, 2, 4, 3, 7, 1, 6]


def test_each_epoch_has_each_image_once_in_a_different_order():
    epochs = [permutation(97, seed=3, epoch=epoch).numpy() for epoch in range(4)]
    for indices in epochs:
        np.testing.assert_array_equal(np.sort(indices), np.arange(97))
    assert len({tuple(indices) for indices in epochs}) == 4


def test_seeds_and_streams_differ():
    orders = [
        permutation(1000, seed, 0, stream).numpy()
        for seed in (0, 1)
        for stream in (SHUFFLE, SUBSET)
    ]
    for number, first in enumerate(orders):
        for second in orders[:number]:
            # Two random permutations agree at 1 position on average (Poisson).
            assert np.sum(first == second) < 10


@pytest.mark.slow
def test_permutations_are_uniform():
    # Count which of 6 images comes first in 1200 epochs. Chi-squared with 5 degrees of
    # freedom exceeds 25 for one in 7,000 seeds.
    first = [int(permutation(6, seed=0, epoch=epoch)[0]) for epoch in range(1200)]
    counts = np.bincount(first, minlength=6)
    assert np.sum((counts - 200) ** 2 / 200) < 25


def test_flips_are_fair_and_differ_between_steps():
    drawn = np.stack([flips(64, seed=0, step=step).numpy() for step in range(100)])
    # The mean of 6400 fair coins has standard deviation 0.00625. Allow five of them.
    assert abs(drawn.mean() - 0.5) < 0.032
    assert len(np.unique(drawn, axis=0)) == 100
