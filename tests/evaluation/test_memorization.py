import numpy as np
import pytest

from lada_tf.evaluation import memorization
from lada_tf.evaluation.memorization import authentic, c_t, nearest


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(memorization, "BLOCK_ROWS", 32)  # several blocks, a short last


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def distances(points, others):
    return np.linalg.norm(points[:, None].astype(float) - others[None], axis=-1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nearest_is_the_minimum_of_all_distances(dtype):
    points, others = normal(0, 70, 5), normal(1, 101, 5)
    points[3] = others[100]
    found = nearest(points, others, dtype=dtype)
    expected = distances(points, others)
    np.testing.assert_array_equal(found.index, expected.argmin(axis=1))
    np.testing.assert_allclose(found.distance, expected.min(axis=1), rtol=1e-12)
    assert found.distance[3] == 0


def test_a_row_is_not_its_own_neighbor():
    points = normal(0, 70, 5)
    own = np.arange(10, 50)
    expected = distances(points[own], points)
    expected[np.arange(40), own] = np.inf
    found = nearest(points[own], points, own)
    np.testing.assert_array_equal(found.index, expected.argmin(axis=1))


def test_authentic_follows_its_definition():
    real, generated = normal(0, 90, 3), normal(1, 80, 3)
    between, among = distances(generated, real), distances(real, real)
    np.fill_diagonal(among, np.inf)
    expected = between.min(axis=1) > among.min(axis=1)[between.argmin(axis=1)]
    found, _ = authentic(real, generated)
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("share", [0.1, 0.5, 1])
def test_planted_copies_lower_authpct_by_their_share(share):
    real = normal(0, 200, 8)
    real[1] = real[0]  # duplicates have a radius of 0
    generated = 5 + normal(1, 100, 8)  # far from all real ones: all are authentic
    assert authentic(real, generated)[0].mean() == 1
    count = round(share * 100)
    # Float32 features of the same image differ a little between batches.
    generated[:count] = real[:count] * np.float32(1 + 1e-7)
    assert authentic(real, generated)[0].mean() == 1 - share


def test_c_t_of_one_cell_is_the_mann_whitney_z():
    real, held_out, generated = normal(0, 60, 2), normal(1, 50, 2), normal(2, 40, 2)
    a, b = (distances(x, real).min(axis=1) for x in (held_out, generated))
    larger = (b[:, None] > a).sum()
    z = (larger - 50 * 40 / 2) / np.sqrt(50 * 40 * (50 + 40 + 1) / 12)
    assert c_t(real, held_out, generated) == pytest.approx(z)


@pytest.mark.parametrize("seed", range(5))
def test_c_t_is_small_for_the_same_distribution_and_negative_for_copies(seed):
    real, held_out, new = (normal(3 * seed + i, 400, 4) for i in range(3))
    assert abs(c_t(real, held_out, new)) < 2
    copies = real + 0.05 * normal(99, 400, 4)
    assert c_t(real, held_out, copies) < -3
    # A generator of blurred images is farther from the training images.
    assert c_t(real, held_out, 2 * new) > 1


def test_c_t_needs_images_in_a_cell():
    assert c_t(normal(0, 50, 2), normal(1, 19, 2), normal(2, 50, 2)) is None


def test_c_t_accepts_equal_training_images():
    real = np.repeat(normal(0, 2, 3), 100, axis=0)
    assert np.isfinite(c_t(real, normal(1, 300, 3), normal(2, 300, 3)))
