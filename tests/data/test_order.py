import numpy as np

from lada_tf.data.order import Order


def test_every_epoch_shows_each_image_once_in_another_order():
    order = Order(num_images=97, seed=3)
    epochs = [order.indices(97 * epoch, 97) for epoch in range(4)]
    for indices in epochs:
        np.testing.assert_array_equal(np.sort(indices), np.arange(97))
    assert len({tuple(indices) for indices in epochs}) == 4


def test_positions_do_not_depend_on_how_they_are_asked_for():
    whole = Order(10, seed=0).indices(0, 64)
    pieces = Order(10, seed=0)
    # Backwards, so that nothing can depend on what was asked before.
    parts = [pieces.indices(start, 8) for start in reversed(range(0, 64, 8))]
    np.testing.assert_array_equal(np.concatenate(parts[::-1]), whole)


def test_order_is_the_same_on_every_machine_and_release():
    # Written down once: a run must resume after an upgrade of NumPy.
    np.testing.assert_array_equal(
        Order(8, seed=1).indices(0, 16),
        [2, 0, 1, 4, 5, 6, 7, 3, 3, 6, 5, 7, 4, 1, 2, 0],
    )
    np.testing.assert_array_equal(
        Order(8, seed=1).flips(5, 12), [0, 0, 1, 1, 1, 1, 0, 1, 0, 0, 1, 0]
    )


def test_seeds_differ():
    first, second = (Order(1000, seed=seed).indices(0, 1000) for seed in (0, 1))
    # Two random permutations agree at 1 place on average (Poisson).
    assert np.sum(first == second) < 10


def test_flips_are_fair_and_differ_between_steps():
    flips = np.stack([Order(8, seed=0).flips(step, 64) for step in range(100)])
    # 6400 fair coins: standard deviation 0.00625; five of them.
    assert abs(flips.mean() - 0.5) < 0.032
    assert len(np.unique(flips, axis=0)) == 100
