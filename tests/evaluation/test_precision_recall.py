import importlib

import numpy as np
import pytest

from lada_tf import evaluation
from lada_tf.errors import UserError
from tests.evaluation.recipes import GOLDEN, features, manifold_case


@pytest.mark.parametrize("name", GOLDEN["precision_recall"])
def test_equals_the_reference(name):
    # Shares of counts must be equal to the last bit.
    result = evaluation.precision_recall(*manifold_case(name))
    assert list(result) == GOLDEN["precision_recall"][name]


@pytest.mark.parametrize("name", GOLDEN["precision_recall_adm_float16"])
def test_float16_is_close_to_the_guided_diffusion_evaluator(name):
    # 0.02: the order of float16 sums differs between machines. The float64 result
    # differs by up to 0.054.
    result = evaluation.precision_recall(*manifold_case(name), arithmetic="adm_float16")
    expected = GOLDEN["precision_recall_adm_float16"][name]
    assert result == pytest.approx(expected, abs=0.02)


def test_float16_falls_back_to_float32_on_overflow():
    real, generated = (1e3 * x for x in manifold_case("d16"))
    result = evaluation.precision_recall(real, generated, arithmetic="adm_float16")
    assert list(result) == GOLDEN["precision_recall"]["d16"]


def brute_force(real, generated, nearest_k):
    def distances(a, b):
        a, b = a.astype(np.float32), b.astype(np.float32)
        difference = a[:, None].astype(np.float64) - b[None]
        return np.square(difference).sum(axis=2)

    real_radii = np.sort(distances(real, real), axis=1)[:, nearest_k]
    generated_radii = np.sort(distances(generated, generated), axis=1)[:, nearest_k]
    across = distances(generated, real)
    precision = (across <= real_radii).any(axis=1).mean()
    return precision, (across <= generated_radii[:, None]).any(axis=0).mean()


@pytest.mark.parametrize("nearest_k", [1, 3, 5])
@pytest.mark.parametrize("offset", [0, 1000])
def test_blocks_do_not_change_the_result(monkeypatch, nearest_k, offset):
    real, generated = (x + offset for x in manifold_case("d16"))
    module = importlib.import_module("lada_tf.evaluation.precision_recall")
    monkeypatch.setattr(module, "BLOCK_ROWS", 13)
    expected = brute_force(real, generated, nearest_k)
    assert evaluation.precision_recall(real, generated, nearest_k) == expected


def test_the_border_belongs_to_the_ball_despite_rounding():
    """Every generated feature lies exactly on the border of a real one's ball."""
    random = np.random.default_rng(0)
    centers = random.standard_normal((50, 300)) * 100
    steps = random.integers(-8, 9, (50, 300))
    centers = np.round(centers * 8) / 8  # sums and differences are exact in float32
    real = np.concatenate([centers, centers + steps])
    outside = centers - steps * np.float32(1 + 2**-12)
    for generated, expected in [(centers - steps, 1.0), (outside, 0.0)]:
        precision, _ = evaluation.precision_recall(real, generated, nearest_k=1)
        assert precision == expected


def test_one_far_outlier():
    real, generated = manifold_case("d16")
    real = np.concatenate([real, np.full((1, 16), 1e4)])
    result = evaluation.precision_recall(real, generated)
    assert result == brute_force(real, generated, 3)


@pytest.mark.parametrize(
    ("real", "generated", "options", "message"),
    [
        (features(0, 3, 4), features(1, 9, 4), {}, "at least 4 images"),
        (features(0, 9, 4), features(1, 9, 5), {}, "same extractor"),
        (np.full((9, 4), np.nan), features(1, 9, 4), {}, "NaN"),
        (np.full((9, 4), 1e300), features(1, 9, 4), {}, "infinite"),
        (features(0, 9, 4), features(1, 9, 4), {"nearest_k": 0}, "at least 1"),
        (features(0, 9, 4), features(1, 9, 4), {"arithmetic": "f8"}, "adm_float16"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_bad_input(real, generated, options, message):
    with pytest.raises(UserError, match=message):
        evaluation.precision_recall(real, generated, **options)


def test_the_border_is_outside_despite_rounding():
    """Copies of the real images are exactly as far away as the k-th neighbor."""
    real = np.random.default_rng(0).standard_normal((300, 64)) * 100 + 1000
    density, coverage = evaluation.density_coverage(real, real)
    assert (density, coverage) == (1, 1)  # each ball: its center and 4 neighbors


def test_coverage_falls_with_lost_modes():
    random = np.random.default_rng(0)
    modes = random.standard_normal((10, 8)) * 100
    real, generated = (
        modes[np.arange(2000) % 10] + random.standard_normal((2000, 8))
        for _ in range(2)
    )
    _, full = evaluation.density_coverage(real, generated)
    _, partial = evaluation.density_coverage(real, generated[np.arange(2000) % 10 < 7])
    assert full - partial == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize(
    ("real", "generated", "nearest_k", "message"),
    [
        (features(0, 5, 4), features(1, 9, 4), 5, "at least 6 images"),
        (features(0, 9, 4), features(1, 9, 5), 5, "same extractor"),
        (features(0, 9, 4), np.full((9, 4), np.nan), 5, "NaN"),
        (features(0, 9, 4), features(1, 9, 4), 0, "at least 1"),
    ],
)
def test_bad_input_of_density_and_coverage(real, generated, nearest_k, message):
    with pytest.raises(UserError, match=message):
        evaluation.density_coverage(real, generated, nearest_k)
