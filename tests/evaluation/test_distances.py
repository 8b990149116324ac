import numpy as np
import pytest

from lada_tf import evaluation
from lada_tf.errors import UserError
from lada_tf.evaluation.statistics import fit_statistics
from tests.evaluation.recipes import GOLDEN, features, frechet_case

SMALL = [name for name in GOLDEN["frechet"] if "2048" not in name]
LARGE = [name for name in GOLDEN["frechet"] if "2048" in name]


@pytest.mark.parametrize(
    "name", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]
)
def test_equals_the_reference(name):
    # 1e-9: float64 algebra. The absolute tolerance is for results of 0.
    expected = pytest.approx(GOLDEN["frechet"][name], rel=1e-9, abs=1e-12)
    assert evaluation.frechet_distance(*frechet_case(name)) == expected


@pytest.mark.parametrize("name", SMALL)
def test_from_statistics_equals_from_features(name):
    real, generated = map(fit_statistics, frechet_case(name))
    expected = pytest.approx(GOLDEN["frechet"][name], rel=1e-9, abs=1e-12)
    assert evaluation.frechet_distance_of_statistics(real, generated) == expected


def singular_value_form(a, b):
    """The definition from the features alone, without any covariance."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    a_mean, b_mean = a.mean(axis=0), b.mean(axis=0)
    a, b = (a - a_mean) / np.sqrt(len(a) - 1), (b - b_mean) / np.sqrt(len(b) - 1)
    cross = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return ((a_mean - b_mean) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * cross


@pytest.mark.parametrize(
    ("real", "generated"),
    [
        pytest.param(features(0, 100, 64), features(1, 40, 64), id="one_set_thin"),
        pytest.param(features(0, 65, 64), features(1, 64, 64), id="count_near_width"),
        pytest.param(
            features(0, 100, 64)[:, np.arange(64) // 4],
            features(1, 90, 64)[:, np.arange(64) // 2 % 16],
            id="repeated_channels",
        ),
        pytest.param(
            np.repeat(features(0, 20, 64), 10, axis=0),
            np.repeat(features(0, 20, 64)[::-1] + 1e-4, 8, axis=0),
            id="both_of_low_rank_and_close",
        ),
        pytest.param(
            (features(0, 300, 64) + 1000).astype(np.float32),
            (features(1, 300, 64, 0.1) + 1000).astype(np.float32),
            id="large_offset",
        ),
        pytest.param(
            features(0, 300, 64) * np.logspace(-6, 2, 64),
            features(1, 300, 64) * np.logspace(-6, 2, 64),
            id="channels_of_different_scale",
        ),
        pytest.param(
            np.where(np.arange(64) < 9, 0.1, features(0, 300, 64)),
            features(1, 300, 64),
            id="channels_dead_in_one_set",
        ),
    ],
)
def test_every_rank_and_scale(real, generated):
    # 1e-8 leaves room for rounding in the reference.
    expected = pytest.approx(singular_value_form(real, generated), rel=1e-8)
    assert evaluation.frechet_distance(real, generated) == expected
    assert evaluation.frechet_distance(generated, real) == expected


@pytest.mark.parametrize(
    ("real", "generated", "message"),
    [
        (np.ones((1, 4)), np.ones((9, 4)), "at least 2 images"),
        (np.ones((9, 4)), np.ones((9, 5)), "same extractor"),
        (np.ones((9, 4)), np.full((9, 4), np.nan), "generated_features holds NaN"),
        (np.full((9, 4), np.inf), np.ones((9, 4)), "real_features holds NaN or inf"),
        (np.ones(4), np.ones((9, 4)), "matrix"),
        (np.ones((9, 4)) * 1j, np.ones((9, 4)), "real numbers"),
    ],
)
def test_bad_features(real, generated, message):
    with pytest.raises(UserError, match=message):
        evaluation.frechet_distance(real, generated)


def test_statistics_of_different_widths():
    real, generated = (fit_statistics(features(0, 9, width)) for width in (4, 5))
    with pytest.raises(UserError, match="same extractor"):
        evaluation.frechet_distance_of_statistics(real, generated)


KERNEL_CASES = {
    "d64": ("d64", 10, 100),
    "identical": ("identical_d64", 10, 100),
}


@pytest.mark.parametrize("name", KERNEL_CASES)
def test_kernel_distance_equals_the_reference(name):
    case, subsets, size = KERNEL_CASES[name]
    result = evaluation.kernel_distance(*frechet_case(case), subsets, size)
    # 1e-12: float64 sums of 1e6 kernel values of order 1.
    assert result == pytest.approx(GOLDEN["kernel"][name], abs=1e-12)


def test_bad_input_of_the_kernel_distance():
    with pytest.raises(UserError, match="at least 1000 images"):
        evaluation.kernel_distance(features(0, 999, 4), features(1, 2000, 4))
    with pytest.raises(UserError, match="subset_size=1 "):
        evaluation.kernel_distance(np.ones((9, 4)), np.ones((9, 4)), 1, 1)
